"""The folder of one cluster: its data, logs and keys; and the way to end what belongs to it, whoever started it.

A folder belongs to the process that holds its lock. Who gets the lock of another's folder knows that its run is over.
Each process of the cluster carries the folder as a mark in its environment, which tells it apart whatever its pid;
those in containers are known by the cgroups of the folder's containers. Namespaces and mounts go with the last process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "GOSSAMER_CLUSTER"
KEPT = "kept"
CGROUPS = Path("/sys/fs/cgroup")
# containerd gives each container of Kubernetes the cgroup k8s.io/ID, and keeps a folder of that name here.
CONTAINERS = Path("run/containerd/io.containerd.runtime.v2.task/k8s.io")
# Not pytest's tmp_path: paths of unix sockets must stay under 108 bytes, and leftovers be found again.
ROOT = Path(tempfile.gettempdir()) / f"gossamer-cluster-{os.getuid()}"


class Workspace:
    """A folder of our own under ROOT until `close`, which removes it with all that belongs to it.

    A kept one stays when this process ends, until `remove` is called for it.
    """

    def __init__(self, kind: str, is_kept: bool = False) -> None:
        with hold_root():
            self.folder, self.is_kept = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=ROOT)), is_kept
            if is_kept:
                (self.folder / KEPT).touch()
            self._lock = (self.folder / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def mark(self) -> dict[str, str]:
        return {MARK: str(self.folder)}

    def close(self) -> None:
        with hold_root():
            remove(self.folder)
        self._lock.close()


@contextmanager
def hold_root() -> Iterator[None]:
    """Folders are made, and abandoned ones removed, by one process at a time."""
    ROOT.mkdir(mode=0o700, exist_ok=True)
    with (ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def find_marked(folder: Path) -> list[int]:
    """The pids of all processes of the cluster in `folder`."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def find_cgroups(folder: Path) -> list[Path]:
    """The cgroups of its containers, parents first: a tree for each hierarchy of cgroup v1, or one in all."""
    containers = {path.name for path in (folder / CONTAINERS).glob("*")}
    roots = [
        path for pattern in ("k8s.io/*", "*/k8s.io/*") for path in CGROUPS.glob(pattern) if path.name in containers
    ]
    return [Path(path) for root in roots for path, _, _ in os.walk(root)]


def find_contained(folder: Path) -> set[int]:
    """The pids of all processes in its containers."""
    lists = [cgroup / "cgroup.procs" for cgroup in find_cgroups(folder)]
    return {int(pid) for path in lists if path.exists() for pid in path.read_text().split()}


def remove(folder: Path, within_s: float = 20.0) -> None:
    """Kill all that runs for a cluster, see it end, and remove its cgroups and its folder; for who holds the root."""
    deadline = time.monotonic() + within_s
    while pids := {*find_marked(folder), *find_contained(folder)}:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of {folder} that do not end: {pids}")
        time.sleep(0.02)
    for cgroup in reversed(find_cgroups(folder)):
        cgroup.rmdir()
    for parent in (*CGROUPS.glob("k8s.io"), *CGROUPS.glob("*/k8s.io")):
        try:
            parent.rmdir()
        except OSError:  # it has the containers of others
            pass
    shutil.rmtree(folder)


def remove_abandoned() -> None:
    """Remove what runs that are over have left."""
    with hold_root():
        for folder in find_folders():
            if not (folder / KEPT).exists() and is_abandoned(folder):
                remove(folder)


def remove_kept() -> int:
    """Remove what was to stay; returns how many clusters that were."""
    with hold_root():
        kept = find_kept()
        for folder in kept:
            remove(folder)
    return len(kept)


def find_kept() -> list[Path]:
    return [folder for folder in find_folders() if (folder / KEPT).exists()]


def find_folders() -> list[Path]:
    return sorted(path for path in ROOT.glob("*-*") if path.is_dir())


def is_abandoned(folder: Path) -> bool:
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
