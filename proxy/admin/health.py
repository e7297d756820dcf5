"""The application's health, as its own probes see it: asked by the kubelet at `/app-health/CONTAINER/KIND`.

Each probe runs at most once at a time, and all who ask meanwhile get its verdict: however many ask, the application is
asked no more than by as many probes as it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from proxy.admin.http import Answer, Request, is_visible
from proxy.net.log import log
from proxy.net.probe import Probe, Verdict, perform

_AGENT_PREFIX = "kube-probe/"
_MAX_AGENT_CHARS = 64


class ApplicationHealth:
    """`probes` by path."""

    def __init__(self, probes: Mapping[str, Probe], pod_ip: str) -> None:
        self.probes = probes
        self.pod_ip = pod_ip
        self._running: dict[str, asyncio.Task[Verdict]] = {}
        self._healthy: dict[str, bool] = {}

    async def answer(self, request: Request) -> Answer:
        path = request.path
        task = self._running.get(path)
        if task is None:
            agent = choose_agent(request.headers.get("user-agent", ""))
            task = self._running[path] = asyncio.ensure_future(self._run(path, agent))
        # Who asked first may go: the others still wait.
        verdict = await asyncio.shield(task)
        return Answer(200 if verdict.healthy else 500, verdict.text + "\n")

    async def _run(self, path: str, agent: str) -> Verdict:
        try:
            verdict = await perform(self.probes[path], self.pod_ip, agent)
        finally:
            del self._running[path]
        # The kubelet's events say no more than "status 500".
        if self._healthy.get(path, True) != verdict.healthy:
            log(f"{path.removeprefix('/')} is {'healthy' if verdict.healthy else 'unhealthy'}: {verdict.text}")
        self._healthy[path] = verdict.healthy
        return verdict

    def stop(self) -> None:
        for task in self._running.values():
            task.cancel()


def choose_agent(asked: str) -> str:
    """The kubelet's own User-Agent, which applications know; not that of a stranger."""
    known = asked.startswith(_AGENT_PREFIX) and len(asked) <= _MAX_AGENT_CHARS and is_visible(asked)
    return asked if known else f"{_AGENT_PREFIX}gossamer"
