"""Where manifests come from: files, directories, URLs, or stdin. All of it is text in the end."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mesh.inject.fault import Unusable

SUFFIXES = (".yaml", ".yml", ".json")
_MAX_BYTES = 256 << 20
_TIMEOUT_S = 30.0


class Source(NamedTuple):
    """`name` is what messages call it."""

    name: str
    text: str


def read_sources(arguments: list[str], stdin: BinaryIO | None = None) -> Iterator[Source]:
    for argument in arguments:
        if argument == "-":
            yield decode("stdin", (stdin or sys.stdin.buffer).read(_MAX_BYTES))
        elif argument.startswith(("http://", "https://")):
            yield decode(argument, fetch(argument))
        elif Path(argument).is_dir():
            yield from read_directory(Path(argument))
        else:
            yield read_file(Path(argument))


def read_directory(directory: Path) -> Iterator[Source]:
    """All manifests below it, in order; hidden ones are nobody's to apply."""
    found = sorted(
        path
        for path in directory.rglob("*")
        if path.suffix in SUFFIXES and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    )
    if not found:
        raise Unusable(f"{directory} has no manifests: no file in it ends with {', '.join(SUFFIXES)}")
    yield from map(read_file, found)


def read_file(path: Path) -> Source:
    try:
        return decode(str(path), path.read_bytes())
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            return bytes(answer.read(_MAX_BYTES))
    except (OSError, HTTPException, ValueError) as error:
        raise Unusable(f"{url} cannot be fetched: {error}") from None


def decode(name: str, data: bytes) -> Source:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable(f"{name} is not UTF-8 text (byte {error.start})") from None
    if not text.strip():
        raise Unusable(f"{name} is empty")
    return Source(name, text)
