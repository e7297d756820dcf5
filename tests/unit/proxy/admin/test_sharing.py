"""What many ask for is written once, and not kept for ever for those who do not read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from proxy.admin import sharing
from proxy.admin.sharing import LARGE_BYTES, MAX_WRITINGS, Page, TooSlow


class Book:
    """Three pieces, in which stands the number of the writing."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.writings = 0
        self.page = Page(self.write)

    def write(self) -> Iterator[bytes]:
        self.writings += 1
        piece = bytes([self.writings]) * (self.size // 3 + 1)
        yield from (piece, piece, piece)

    def read(self) -> int:
        """All of it: the number."""
        text = b"".join(self.page.read())
        assert len(text) >= self.size
        assert len(set(text)) == 1
        return text[0]


async def wait_unshared() -> None:
    """The loop calls what is due earlier first."""
    await asyncio.sleep(3 * sharing.SHARED_S)


async def test_a_small_page_is_always_new() -> None:
    book = Book(100)
    assert [book.read() for _ in range(3)] == [1, 2, 3]


async def test_a_large_page_is_shared_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SHARED_S", 0.05)
    book = Book(LARGE_BYTES)
    assert [book.read() for _ in range(3)] == [1, 1, 1]
    await wait_unshared()
    assert book.read() == 2


async def test_readers_of_one_writing_may_stand_anywhere() -> None:
    book = Book(LARGE_BYTES)
    first, second = book.page.read(), book.page.read()
    pieces = [next(first)]
    pieces += second
    assert len(pieces) == 4
    assert len(list(first)) == 2
    assert book.writings == 1


async def test_a_reader_that_stands_still_does_not_hold_others_to_its_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SHARED_S", 0.01)
    book = Book(LARGE_BYTES)
    slow = book.page.read()
    assert next(slow)[0] == 1
    await wait_unshared()
    assert book.read() == 2
    assert [piece[0] for piece in slow] == [1, 1]


async def test_only_so_many_writings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SHARED_S", 0.01)
    book = Book(LARGE_BYTES)
    slow = []
    for _ in range(MAX_WRITINGS + 1):
        slow.append(book.page.read())
        next(slow[-1])
        await wait_unshared()
    with pytest.raises(TooSlow):
        next(slow[0])
    assert [len(list(reader)) for reader in slow[1:]] == [2] * MAX_WRITINGS


async def test_what_nobody_reads_any_more_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SHARED_S", 0.01)
    book = Book(LARGE_BYTES)
    reader = book.page.read()
    next(reader)
    for _ in range(2 * MAX_WRITINGS):
        await wait_unshared()
        book.read()
    assert len(list(reader)) == 2
