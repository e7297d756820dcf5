"""The log, where nobody reads it: it never waits, and says what is lost."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from proxy.net import log as lines


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Stands for stderr; it blocks whoever writes more than it holds."""
    read, write = os.pipe()
    monkeypatch.setattr(lines, "_STDERR", write)
    monkeypatch.setattr(lines, "_lost", 0)
    yield read, write
    os.close(read)
    os.close(write)


def fill(descriptor: int) -> int:
    os.set_blocking(descriptor, False)
    size = 0
    try:
        while True:
            size += os.write(descriptor, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(descriptor, True)
        return size


def test_a_line(pipe: tuple[int, int]) -> None:
    lines.log("listening on ä")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z listening on ä\n", os.read(pipe[0], 1000).decode())


def test_a_long_text_goes_out_in_pieces(pipe: tuple[int, int]) -> None:
    lines.log("x" * 20_000)
    assert os.read(pipe[0], 100_000).endswith(b"x" * 20_000 + b"\n")


def test_a_pipe_that_nobody_reads_loses_lines_and_says_so(pipe: tuple[int, int]) -> None:
    size = fill(pipe[1])
    lines.log("one")
    lines.log("two")
    assert os.read(pipe[0], size) == b"x" * size
    lines.log("three")
    lines.log("four")
    first, second = os.read(pipe[0], 1000).decode().splitlines()
    assert first.endswith("Z (2 lines before this one are lost) three")
    assert second.endswith("Z four")


def test_a_reader_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    monkeypatch.setattr(lines, "_STDERR", write)
    monkeypatch.setattr(lines, "_lost", 0)
    lines.log("to nobody")
    os.close(write)
    lines.log("to nothing at all")
    assert lines._lost == 2


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(lines, "_STDERR", full)
    monkeypatch.setattr(lines, "_lost", 0)
    lines.log("no room")
    assert lines._lost == 1
    os.close(full)


def test_lines_about_endpoints_are_rationed(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_endpoint_lines", 0)
    monkeypatch.setattr(lines, "_endpoint_lines_since_s", float("-inf"))
    for number in range(lines.ENDPOINT_LINES_MAX + 5):
        lines.log_endpoint(f"endpoint {number}")
    said = os.read(pipe[0], 100_000).decode()
    assert said.count("\n") == lines.ENDPOINT_LINES_MAX
    monkeypatch.setattr(lines, "_endpoint_lines_since_s", float("-inf"))
    lines.log_endpoint("one more")
    said = os.read(pipe[0], 100_000).decode()
    assert "5 lines about endpoints are left out" in said
    assert "one more" in said
