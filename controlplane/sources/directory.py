"""What lies in a directory of manifests now, and the bytes of its files: all the blocking I/O of the files source.

Taken are regular files (also behind links, as in a ConfigMap volume) named *.yaml, *.yml or *.json in the directory
itself; hidden ones are not, so whoever writes `.new.yaml` and renames it is never seen half-way.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import NamedTuple

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Bounds:
    files: int = 5_000
    file_bytes: int = 4 << 20
    total_bytes: int = 64 << 20


class Stamp(NamedTuple):
    """What changes when a file does. All zeros for a link that leads nowhere."""

    mtime_ns: int
    ctime_ns: int
    size_bytes: int
    inode: int
    device: int


BROKEN = Stamp(0, 0, 0, 0, 0)


class TooMuch(Exception):
    """The directory holds more than the bounds allow."""


class Unsettled(Exception):
    """The file is not, or no longer, as its stamp says."""


def scan(directory: str, bounds: Bounds) -> dict[str, Stamp]:
    """The manifests by their name, in order; OSError if the directory cannot be read, TooMuch if it is too large."""
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(SUFFIXES) and not entry.name.startswith(".")]
    if len(names) > bounds.files:
        raise TooMuch(f"more than {bounds.files} files")
    found = {}
    for name in sorted(names):
        stamp = take_stamp(os.path.join(directory, name))
        if stamp is not None:
            found[name] = stamp
    if sum(stamp.size_bytes for stamp in found.values()) > bounds.total_bytes:
        raise TooMuch(f"more than {bounds.total_bytes >> 20} MiB")
    return found


def take_stamp(path: str) -> Stamp | None:
    """None for what is no file, or no longer there."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return BROKEN if os.path.islink(path) else None
    except OSError:
        return BROKEN
    return _make_stamp(status) if stat.S_ISREG(status.st_mode) else None


def read_file(path: str, stamp: Stamp, bounds: Bounds) -> bytes:
    """All of a file that is as its stamp says, before and after; OSError, TooMuch, Unsettled otherwise."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if _make_stamp(os.fstat(file.fileno())) != stamp:
            raise Unsettled
        if stamp.size_bytes > bounds.file_bytes:
            raise TooMuch(f"larger than {bounds.file_bytes >> 20} MiB; split it")
        data = file.read(bounds.file_bytes + 1)
        if _make_stamp(os.fstat(file.fileno())) != stamp or len(data) != stamp.size_bytes:
            raise Unsettled
    return data


def _make_stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)
