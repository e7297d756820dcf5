"""Follows the objects of one kind: lists them, watches them, and begins anew whenever that ends.

`Course` decides what to ask next and when, `Access` asks, `Inventory` keeps what was read; this is the loop of the
three. Data are as current as the last list, event or bookmark: a connection that is merely open proves nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import aclosing
from random import Random
from time import monotonic

from controlplane.model.fields import printable
from controlplane.model.objects import PODS
from controlplane.model.snapshot import Change
from controlplane.sources.access import Access, TooLarge
from controlplane.sources.course import (
    DENIED,
    FINISHED,
    GARBAGE,
    LOST,
    STALLED,
    UNAUTHORIZED,
    Ask,
    Course,
    Limits,
    judge,
)
from controlplane.sources.inventory import Inventory
from controlplane.sources.lines import LineSplitter, LineTooLong
from controlplane.sources.page_size import PageSize
from controlplane.sources.source import Sink
from controlplane.sources.wire import BOOKMARK, Garbage, Page, Refusal, decode_event, decode_page, make_path
from mesh.access import Lost

# Without pods there is a mesh that knows nobody's identity; without the others there is none.
OPTIONAL = (PODS,)
LIST, WATCH = "list", "watch"
_log = logging.getLogger(__name__)


class Follower:
    """One kind of objects, in one namespace or in all."""

    def __init__(
        self, kind: str, namespace: str | None, access: Access, limits: Limits, rng: Random, loopback: bool = False
    ) -> None:
        self.kind = kind
        self.synced = False
        self.alive_at: float | None = None  # when the data were last known to be current
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self._path = make_path(kind, namespace)
        self._scope = f"namespace {namespace}" if namespace else "all namespaces"
        self._access = access
        self._limits = limits
        self._course = Course(limits, rng)
        self._inventory = Inventory(kind, loopback)
        self._opened_at: float | None = None
        self._listing_since: float | None = None
        self._problem = ""
        self._verb = self._logged = ""  # which request the problem is of, and the cause that was logged

    @property
    def is_denied(self) -> bool:
        return self._course.is_denied

    async def run(self, sink: Sink) -> None:
        while True:
            ask = self._course.ask()
            await asyncio.sleep(ask.wait_s)
            was_denied = self._course.is_denied
            cause = await self._attempt(ask, sink)
            if not ask.reason:
                self.counts["watches", self.kind, cause] += 1
            if self._course.is_denied and not was_denied:
                self._report_denial(sink)

    async def _attempt(self, ask: Ask, sink: Sink) -> str:
        """List or watch until that ends; why it ended."""
        self._opened_at = None
        generation = self._access.generation
        retry_after_s: float = 0
        try:
            if ask.reason:
                await self._list(ask, sink)
                return FINISHED
            await self._watch(ask, sink)
            cause, problem = FINISHED, ""
        except Refusal as refusal:
            cause, problem, retry_after_s = judge(refusal), refusal.text, refusal.retry_after_s
        except (Garbage, LineTooLong) as error:
            self.counts["unreadable", self.kind, "answer"] += 1
            cause, problem = GARBAGE, str(error) or f"a line longer than {self._limits.line_bytes >> 20} MiB"
        except TimeoutError:
            cause, problem = STALLED, "it falls silent"
        except Lost as error:
            cause, problem = UNAUTHORIZED if error.is_tls else LOST, str(error)
        except Exception as bug:  # whatever it is must not end the other kinds, and a list begins afresh
            _log.exception("following %s failed", self.kind)
            cause, problem = GARBAGE, f"an error of ours ({type(bug).__name__}), please report it"
        self._course.end(cause, self._lived_s(), retry_after_s)
        self._tell(cause, problem, LIST if ask.reason else WATCH)
        if cause == UNAUTHORIZED:
            await self._renew(generation)
        return cause

    async def _list(self, ask: Ask, sink: Sink) -> None:
        self.counts["relists", self.kind, ask.reason] += 1
        began_at = self._listing_since = monotonic()
        try:
            version = await self._read_list(ask, began_at)
        finally:
            self._listing_since = None
        relist = self._inventory.commit()
        self._course.listed(version)
        self.alive_at = began_at
        self._settle(LIST)
        self.synced = True
        sink([relist])

    async def _read_list(self, ask: Ask, began_at: float) -> str:
        """All pages into the inventory; the version of the list. Nothing that answers can make it endless."""
        self._inventory.begin()
        token, count, size = "", 0, PageSize(self._limits)
        while True:
            page = await self._read_page(ask, token, size)
            if not page.token:
                self._inventory.add(page.items)
                return page.version
            count += len(page.items)
            is_late = monotonic() - began_at > self._limits.lists_timeout_s
            if page.token == token or count > self._limits.list_objects or is_late:
                raise Garbage(f"a list that does not end, of {count} objects so far")
            self._inventory.add(page.items)
            token = page.token
            await asyncio.sleep(0)  # a page takes tens of ms to read

    async def _read_page(self, ask: Ask, token: str, size: PageSize) -> Page:
        """The next page of a list; where it is too large, the same with fewer objects."""
        while True:
            params = {**ask.params, "limit": str(size.objects), **({"continue": token} if token else {})}
            try:
                async with asyncio.timeout(self._limits.list_timeout_s):
                    body = await self._access.fetch(self._path, params, self._limits.page_bytes)
            except TooLarge:
                if not size.shrink():
                    raise
                continue
            size.learn(len(body))
            return decode_page(self.kind, body)

    async def _watch(self, ask: Ask, sink: Sink) -> None:
        loop = asyncio.get_running_loop()
        splitter = LineSplitter(self._limits.line_bytes)
        async with (
            asyncio.timeout(self._limits.stall_s) as patience,
            aclosing(self._access.stream(self._path, ask.params)) as chunks,
        ):
            async for chunk in chunks:
                if self._opened_at is None:
                    self._opened_at = monotonic()
                    self._settle(WATCH)
                lines = splitter.feed(chunk)
                if lines:
                    patience.reschedule(loop.time() + self._limits.stall_s)
                    self._take(lines, sink)
                    await asyncio.sleep(0)  # chunks that are there already would keep the loop for themselves

    def _take(self, lines: list[bytes], sink: Sink) -> None:
        """Apply lines of a watch as one batch, up to the first that cannot be understood."""
        changes: list[Change] = []
        try:
            for line in lines:
                event = decode_event(line)
                self.counts["events", self.kind, event.type] += 1
                change = self._inventory.apply(event) if event.type != BOOKMARK else None
                if change is not None:
                    changes.append(change)
                self._course.advance(event.version)
                self.alive_at = monotonic()
        finally:
            if changes:
                sink(changes)

    def _lived_s(self) -> float:
        return 0 if self._opened_at is None else monotonic() - self._opened_at

    def _settle(self, verb: str) -> None:
        """What was wrong is over; but a list that succeeds does not mend a watch that is refused."""
        if self._problem and verb in (self._verb, WATCH):
            _log.info("%s are followed again", self.kind)
            self._problem = self._logged = ""

    def _report_denial(self, sink: Sink) -> None:
        """Let nobody wait for objects that cannot be had. What is known of them already stays in use."""
        if self.kind in OPTIONAL:
            self.synced = True
            sink([self._inventory.relist(False)])

    def _tell(self, cause: str, problem: str, verb: str) -> None:
        if cause == FINISHED or (cause == STALLED and verb == WATCH):
            return  # a healthy API server may be silent for long (course.py); the list that follows will tell
        advice = {
            DENIED: f"; grant list and watch on {self.kind} in {self._scope} (docs/rbac)",
            UNAUTHORIZED: "; check the credentials and the certificate authority",
            LOST: "; check that the API server runs and can be reached from here",
        }.get(cause, "")
        self._verb = verb
        self._problem = printable(f"cannot {verb} {self.kind} at {self._access.host}: {problem}{advice}")
        if self._logged != cause:
            self._logged = cause
            _log.warning("%s", self._problem)

    async def _renew(self, generation: int) -> None:
        try:
            await self._access.renew(generation)
        except Lost as error:
            self._problem = printable(str(error))

    def problems(self) -> list[str]:
        own = [self._problem] if self._problem else []
        since = self._listing_since
        if since is not None and monotonic() - since >= self._limits.list_slow_s:
            own.append(
                f"the list of {self.kind} takes long: {monotonic() - since:.0f} s so far; look at the API server"
            )
        return [*own, *self._inventory.problems()]

    def count_unreadable(self) -> int:
        return self._inventory.unreadable
