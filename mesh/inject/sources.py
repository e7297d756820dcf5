"""Where manifests come from: files, directories, URLs, or stdin. All of it is text in the end."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.error import HTTPError, URLError

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
            yield expect_text(decode("stdin", (stdin or sys.stdin.buffer).read(_MAX_BYTES)))
        elif argument.startswith(("http://", "https://")):
            yield expect_text(decode(argument, fetch(argument)))
        elif Path(argument).is_dir():
            yield from read_directory(Path(argument))
        else:
            yield expect_text(read_file(Path(argument)))


def expect_text(source: Source) -> Source:
    """What was named outright is meant to hold something."""
    if not source.text.strip():
        raise Unusable(f"{source.name} is empty")
    return source


def read_directory(directory: Path) -> Iterator[Source]:
    """All manifests below it, in order; hidden ones are nobody's to apply, and in empty ones there is nothing."""
    found = sorted(
        path
        for path in directory.rglob("*")
        if path.suffix in SUFFIXES and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    )
    if not found:
        raise Unusable(f"{directory} has no manifests: no file in it ends with {', '.join(SUFFIXES)}")
    yield from (source for source in map(read_file, found) if source.text.strip())


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
        raise Unusable(f"{url} cannot be fetched: {describe(error)}") from None


def describe(error: Exception) -> str:
    """What went wrong, as a person would say it: the reason of the reason, without Python's names for it."""
    if isinstance(error, HTTPError):
        return f"the answer is {error.code} {error.reason}"
    reason = error.reason if isinstance(error, URLError) else error
    text = (reason.strerror if isinstance(reason, OSError) else None) or str(reason) or type(reason).__name__
    return text[:1].lower() + text[1:]


def decode(name: str, data: bytes) -> Source:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable(f"{name} is not UTF-8 text (byte {error.start})") from None
    return Source(name, text)
