"""Pages that cost much are written once for all who ask within a second: anybody may ask, and as often as he likes.

A writing is made piece by piece, as far as its fastest reader has come; the others read the same pieces. Invariant: a
large page is begun no more than once in `SHARED_S`, and no more than `MAX_WRITINGS` of them are held for slow readers.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator

SHARED_S = 1.0
# A smaller one is cheap, and then every reader has figures of his own moment.
LARGE_BYTES = 128 * 1024
# A page can be 4 MB: so many seconds a reader has for it at least, where others ask all the time.
MAX_WRITINGS = 5


class TooSlow(Exception):
    """The writing is not kept any longer, and the reader has not got all of it."""


class Writing:
    """One answer in the making."""

    __slots__ = ("__weakref__", "_is_dropped", "_pieces", "_source", "is_whole", "size")

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._pieces: list[bytes] = []
        self._is_dropped = False
        self.is_whole = False
        self.size = 0

    def read(self) -> Iterator[bytes]:
        """All of it, for one reader."""
        at = 0
        while True:
            if self._is_dropped:
                raise TooSlow
            if at == len(self._pieces) and not self._advance():
                return
            yield self._pieces[at]
            at += 1

    def drop(self) -> None:
        self._is_dropped = True
        self._pieces.clear()

    def _advance(self) -> bool:
        try:
            piece = next(self._source, None)
        except Exception:
            self.drop()  # what there is must not pass for a whole answer
            raise
        if piece is None:
            self.is_whole = True
            return False
        self._pieces.append(piece)
        self.size += len(piece)
        return True

    def is_shared(self) -> bool:
        return not self.is_whole or self.size >= LARGE_BYTES


class Page:
    """What is written by `write`, and who reads it."""

    def __init__(self, write: Callable[[], Iterator[bytes]]) -> None:
        self._write = write
        self._newest: Writing | None = None
        self._begun: list[weakref.ref[Writing]] = []

    def read(self) -> Iterator[bytes]:
        """The page as it is now, or was less than a second ago."""
        newest = self._newest
        if newest is None or not newest.is_shared():
            newest = self._newest = self._begin()
            asyncio.get_running_loop().call_later(SHARED_S, self._forget, weakref.ref(newest))
        return newest.read()

    def _begin(self) -> Writing:
        read = [one for ref in self._begun if (one := ref()) is not None and one.is_shared()]
        if len(read) >= MAX_WRITINGS:
            read.pop(0).drop()
        writing = Writing(self._write())
        self._begun = [weakref.ref(one) for one in (*read, writing)]
        return writing

    def _forget(self, ref: weakref.ref[Writing]) -> None:
        if self._newest is ref():
            self._newest = None
