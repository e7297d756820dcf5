"""One run of `mesh check`: survey and judge, again and again under `--wait`, until nothing fails or the time is up."""

from __future__ import annotations

import asyncio
import sys
from typing import NamedTuple
from urllib.parse import quote

from mesh.access import AccessError
from mesh.check.api import Api
from mesh.check.catalogue import ALL, PRE, PROXY, Groups, run
from mesh.check.facts import Asked
from mesh.check.form import Form
from mesh.check.line import Finding, Line, Verdict
from mesh.check.report import is_green, render
from mesh.check.survey import survey
from mesh.install.cluster import ClusterError, locate

_PAUSE_S = 2.0


class Given(NamedTuple):
    """The options; `wait_s` is 0 for a single look."""

    asked: Asked
    is_proxy: bool
    form: Form
    wait_s: float
    kubeconfig: str | None


class Unusable(Exception):
    """Nothing can be asked, in one sentence."""


def check(given: Given) -> int:
    """Print the lines; the exit code is 1 where one has failed."""
    lines = asyncio.run(look(given))
    print(render(lines, given.form))
    return 0 if is_green(lines) else 1


async def look(given: Given) -> list[Line]:
    groups = PRE if given.asked.is_pre else PROXY if given.is_proxy else ALL
    try:
        api = Api(locate(given.kubeconfig))
        await api.open()
    except (ClusterError, AccessError) as error:
        raise Unusable(str(error)) from None
    try:
        await check_place(api, given.asked.workloads)
        return await wait(api, groups, given)
    finally:
        await api.close()


async def check_place(api: Api, name: str) -> None:
    """A namespace that is not there has no workload that is wrong."""
    if name and await api.find(f"/api/v1/namespaces/{quote(name, safe='')}") is None:
        raise Unusable(f"there is no namespace {name}; name one with --workloads NS")


async def wait(api: Api, groups: Groups, given: Given) -> list[Line]:
    """What is still wrong, or too early to tell, is said on stderr, each time that it changes."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + given.wait_s
    told: list[str] = []
    while True:
        lines = run(groups, await survey(api, given.asked))
        left_s = deadline - clock()
        awaited = [line.check.name for line in lines if is_awaited(line.finding)]
        if not awaited or left_s <= 0:
            return lines
        if awaited != told:
            print(f"waiting for {', '.join(awaited)} (up to {left_s:.0f} s)", file=sys.stderr)
            told = awaited
        await asyncio.sleep(min(_PAUSE_S, left_s))


def is_awaited(finding: Finding) -> bool:
    return finding.verdict is Verdict.FAILED or finding.is_passing
