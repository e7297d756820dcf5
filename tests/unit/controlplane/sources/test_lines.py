"""Lines out of a stream, however its bytes arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.sources.lines import LineSplitter, LineTooLong

CUTS = st.lists(st.integers(0, 60))


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    splitter = LineSplitter(1000)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [line for start, end in pairwise(places) for line in splitter.feed(stream[start:end])]


@given(st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\n", b".")), max_size=6), st.binary(), CUTS)
def test_any_chunking_gives_the_same_lines(lines: list[bytes], rest: bytes, cuts: list[int]) -> None:
    stream = b"".join(line + b"\n" for line in lines) + rest.replace(b"\n", b".")
    assert split(stream, cuts) == lines


def test_an_end_without_newline_is_no_line() -> None:
    splitter = LineSplitter(10)
    assert splitter.feed(b"one\ntw") == [b"one"]
    assert splitter.feed(b"o") == []
    assert splitter.feed(b"\n") == [b"two"]


@given(CUTS)
def test_a_line_of_the_greatest_length_passes_and_one_byte_more_does_not(cuts: list[int]) -> None:
    line = b"x" * 1000
    assert split(line + b"\n", cuts) == [line]
    with pytest.raises(LineTooLong):
        split(b"x" + line + b"\n", cuts)


def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    splitter = LineSplitter(100)
    for _ in range(50):
        assert splitter.feed(b"ab") == []
    with pytest.raises(LineTooLong):
        splitter.feed(b"a")
