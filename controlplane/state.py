"""What the control plane knows: from a source's changes to the streams that have something to send.

One turn takes up all that has come since the last: snapshot, graph, translator, discovery, each once. A turn is
followed by a pause of its own length, so that under a flood of events streams get at least half of the time. Nothing is
worked out before the source is synced: half a mesh is never seen by anyone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from time import monotonic
from typing import Final

from controlplane.discovery.exchange import Exchange
from controlplane.discovery.stream import Stream
from controlplane.graph.graph import Graph
from controlplane.graph.mesh import Mesh
from controlplane.model.snapshot import KINDS, Change, Relist, Snapshot, Touched
from controlplane.translate.translator import Translator
from mesh.log import log_bug

WITHHELD_S: Final = 1.0  # how long an endpoint waits for its Pod to be seen (DESIGN 4)
PAUSE_S_MAX: Final = 0.1


class State:
    """`take` is the source's sink. `wake` gets the streams to which something has to be sent."""

    def __init__(
        self,
        domain: str,
        is_synced: Callable[[], bool],
        wake: Callable[[Collection[Stream]], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._domain = domain
        self._is_synced = is_synced
        self._wake = wake
        self._fail = fail
        self.snapshot = Snapshot()
        self.graph = Graph(domain)
        self.translator = Translator(domain)
        self.exchange = Exchange(self.translator)
        self.synced = asyncio.Event()  # and worked out
        self._pending: list[Change | Relist] = []
        self._pending_since: float | None = None
        self._waiting_since: dict[str, float] = {}  # UIDs of pods for which endpoints are withheld
        self._overdue: frozenset[str] = frozenset()
        self._turn: asyncio.Handle | None = None
        self._not_before = 0.0
        self._withheld: asyncio.TimerHandle | None = None
        self._release: asyncio.TimerHandle | None = None

    @property
    def mesh(self) -> Mesh:
        return self.graph.mesh

    def take(self, changes: Sequence[Change | Relist]) -> None:
        """Note what has changed; the turn that takes it up is soon."""
        self._pending += changes
        if self._pending_since is None:
            self._pending_since = monotonic()
        self.schedule()

    def schedule(self) -> None:
        """A turn, unless one is due anyway."""
        if self._turn is None:
            loop = asyncio.get_running_loop()
            self._turn = loop.call_later(max(0.0, self._not_before - monotonic()), self._run_turn)

    def close(self) -> None:
        for handle in (self._turn, self._withheld, self._release):
            if handle is not None:
                handle.cancel()

    def _run_turn(self) -> None:
        self._turn = None
        began = monotonic()
        try:
            self._work(began)
        except Exception as fatal:
            self._fail(fatal)
        ended = monotonic()
        self._not_before = ended + min(ended - began, PAUSE_S_MAX)

    def _work(self, now: float) -> None:
        changes, self._pending = self._pending, []
        self.snapshot, touched = self.snapshot.after(changes)
        if not self._is_synced():
            return
        if not self.synced.is_set():
            touched = all_of(self.snapshot)
        since, self._pending_since = self._pending_since, None
        try:
            keys = self._take_up(touched, now)
        except Exception as bug:
            log_bug("a change of the mesh; it is worked out from scratch", bug)
            keys = self._start_over()
        self._watch_withheld(now)
        self._tell(self.exchange.announce(keys, monotonic(), since))
        self.synced.set()

    def _take_up(self, touched: Touched, now: float) -> frozenset[str]:
        overdue = [uid for uid, since in self._waiting_since.items() if since + WITHHELD_S <= now]
        self._overdue = (self._overdue | frozenset(overdue)) & self.graph.unseen
        changed = self.graph.update(self.snapshot, touched, self._overdue)
        return self.translator.update(self.graph.mesh, changed)

    def _start_over(self) -> frozenset[str]:
        """All anew from the snapshot; whatever there was before may have changed."""
        before = self.translator.mesh
        self.graph = Graph(self._domain)
        changed = self.graph.update(self.snapshot, all_of(self.snapshot), self._overdue)
        known = {*before.targets, *before.hosts, *before.addresses, *before.pods}
        return self.translator.update(self.graph.mesh, changed | known)

    def _watch_withheld(self, now: float) -> None:
        """A turn when the first of those that wait has waited long enough."""
        self._waiting_since = {uid: self._waiting_since.get(uid, now) for uid in self.graph.waiting}
        if self._withheld is not None:
            self._withheld.cancel()
            self._withheld = None
        if self._waiting_since:
            due = min(self._waiting_since.values()) + WITHHELD_S
            self._withheld = asyncio.get_running_loop().call_later(max(0.0, due - now), self.schedule)

    def _tell(self, streams: Collection[Stream]) -> None:
        """Wake the streams, and come back for what was put off."""
        self._wake(streams)
        due = self.exchange.next_release
        if self._release is not None:
            self._release.cancel()  # what has come since may be due sooner
            self._release = None
        if due is not None:
            self._release = asyncio.get_running_loop().call_later(max(0.0, due - monotonic()), self._run_release)

    def _run_release(self) -> None:
        self._release = None
        try:
            self._tell(self.exchange.release(monotonic()))
        except Exception as fatal:
            self._fail(fatal)


def all_of(snapshot: Snapshot) -> Touched:
    """As if every object had just come."""
    return frozenset((kind, key) for kind in KINDS for key in snapshot.table(kind))
