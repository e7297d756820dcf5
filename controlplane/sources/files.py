"""A directory of manifests as a source: the whole mesh on one machine without Kubernetes.

The same objects as in the API, written by hand or by `kubectl get -o yaml`. The standard library cannot be told of
changes, so the directory is polled; a change is in force two polls after it was made, or a second after the first of
changes that follow each other faster than that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from controlplane.model.fields import printable
from controlplane.model.snapshot import KINDS
from controlplane.sources.directory import Bounds, TooMuch
from controlplane.sources.folder import Folder, explain
from controlplane.sources.source import Counters, Sink, SourceError

POLL_S = 0.2
_log = logging.getLogger(__name__)


class FilesSource:
    """All I/O and parsing happen in a thread."""

    def __init__(self, directory: str, poll_s: float = POLL_S, bounds: Bounds | None = None) -> None:
        self._folder = Folder(directory, bounds or Bounds())
        self._poll_s = poll_s
        self._synced = False
        self._problems: list[str] = []

    async def open(self) -> None:
        if self._folder.read_at is not None:
            return
        try:
            await asyncio.to_thread(self._folder.load)
        except (OSError, TooMuch) as error:
            advice = "name a directory of manifests that can be read"
            problem = printable(f"cannot read the directory {self._folder.path}: {explain(error)}")
            raise SourceError(f"{problem}; {advice}") from None
        self._tell()

    async def run(self, sink: Sink) -> None:
        await self.open()
        is_told = False
        while True:
            try:
                if not self._synced and self._folder.unread:
                    # What it may say is in force elsewhere: to serve nothing of it would delete it from all sidecars.
                    await asyncio.to_thread(self._folder.poll)
                    self._tell()
                    await asyncio.sleep(self._poll_s)
                    continue
                changes = await asyncio.to_thread(self._folder.poll) if is_told else self._folder.relists()
                self._tell()
                is_told = self._synced = True
                if changes:
                    sink(changes)
            except Exception:  # whatever it is, the next poll may fare better
                _log.exception("reading %s failed", printable(self._folder.path))
                is_told = False
            await asyncio.sleep(self._poll_s)

    def _tell(self) -> None:
        """Log each problem once for as long as it lasts."""
        problems = self._folder.problems()
        for problem in problems:
            if problem not in self._problems:
                _log.warning("%s", problem)
        self._problems = problems

    @property
    def synced(self) -> bool:
        return self._synced

    def staleness_s(self, now: float) -> float:
        return now - self._folder.read_at if self._folder.read_at is not None else 0

    def staleness(self, now: float) -> Mapping[str, float]:
        return dict.fromkeys(KINDS, self.staleness_s(now))

    def problems(self) -> list[str]:
        return self._problems

    def counters(self) -> Counters:
        return dict(self._folder.counts)
