"""The Kubernetes API as a source: Services, EndpointSlices and Pods, each followed by itself.

The kinds are not ordered against each other. A namespace of ours restricts everything to it, so that a Role is enough.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from random import Random
from time import monotonic

from controlplane.model.snapshot import KINDS
from controlplane.sources.access import Access
from controlplane.sources.course import Limits
from controlplane.sources.follower import OPTIONAL, Follower
from controlplane.sources.source import Counters, Sink, SourceError

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class KubernetesSource:
    """`kubeconfig` is a file's path; without it, the cluster whose pod we are. `namespace` None means all.

    `loopback`: endpoints may be on this host, as in a cluster that is all on one.
    """

    def __init__(
        self,
        kubeconfig: str | None = None,
        namespace: str | None = None,
        limits: Limits | None = None,
        rng: Random | None = None,
        loopback: bool = False,
    ) -> None:
        limits, rng = limits or Limits(), rng or Random()
        self._namespace = namespace
        self._started_at: float | None = None
        self._access = Access(kubeconfig, limits.connect_timeout_s)
        self._followers = [Follower(kind, namespace, self._access, limits, rng, loopback) for kind in KINDS]

    async def open(self) -> None:
        if self._namespace is not None and not _NAMESPACE.fullmatch(self._namespace):
            raise SourceError(f"{self._namespace!r} is no name of a namespace; give one as `kubectl get ns` lists it")
        if not self._access.is_open:
            await self._access.open()

    async def run(self, sink: Sink) -> None:
        await self.open()
        self._started_at = monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for follower in self._followers:
                    group.create_task(follower.run(sink))
        finally:
            await self._access.close()

    @property
    def synced(self) -> bool:
        return all(follower.synced for follower in self._followers)

    def staleness_s(self, now: float) -> float:
        """What the mesh can do without, and may not have, does not make the rest of it stale."""
        dispensable = {follower.kind for follower in self._followers if follower.is_denied} & {*OPTIONAL}
        return max((age_s for kind, age_s in self.staleness(now).items() if kind not in dispensable), default=0)

    def staleness(self, now: float) -> Mapping[str, float]:
        return {
            follower.kind: now - (follower.alive_at or self._started_at or now)
            for follower in self._followers
            if follower.alive_at is not None or not follower.synced
        }

    def problems(self) -> list[str]:
        return [problem for follower in self._followers for problem in follower.problems()]

    def counters(self) -> Counters:
        counts: Counter[tuple[str, str, str]] = Counter()
        for follower in self._followers:
            counts.update(follower.counts)
            counts["unreadable", follower.kind, "object"] = follower.count_unreadable()
        return counts
