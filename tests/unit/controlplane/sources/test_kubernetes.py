"""The Kubernetes source and an API server that stalls, lies, breaks off and refuses."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.model.snapshot import Relist
from controlplane.sources.course import Limits
from controlplane.sources.kubernetes import KubernetesSource
from controlplane.sources.source import SourceError
from tests.unit.controlplane.sources.hostile import Answer, HostileServer, Request, encode_event, service
from tests.unit.controlplane.sources.witness import State, running, until

# Quick, but no test depends on how quick: a wait that is too short only makes more requests.
LIMITS = Limits(
    retry_s=(0.01, 0.1), denied_s=(0.05, 0.2), steady_s=0.05, list_timeout_s=10, stall_s=10, connect_timeout_s=10
)
BOOKMARK = {"kind": "Service", "metadata": {"resourceVersion": "5"}}


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    async with HostileServer() as server:
        yield server


def make_source(server: HostileServer, tmp_path: Path, **limits: Any) -> KubernetesSource:
    return KubernetesSource(server.write_kubeconfig(tmp_path / "kubeconfig"), limits=replace(LIMITS, **limits))


def list_services(*names: str, version: str = "1") -> Any:
    async def answer_list(request: Request, answer: Answer) -> None:
        await answer.page("services", [service(name) for name in names], version)

    return answer_list


async def test_it_lists_then_watches_from_there(server: HostileServer, tmp_path: Path) -> None:
    async def watch(request: Request, answer: Answer) -> None:
        await answer.begin()
        await answer.event("ADDED", service("b", "8"))
        await answer.event("MODIFIED", service("a", "9", 81))
        await answer.event("DELETED", service("c", "10"))
        await answer.hold()

    server.on_list, server.on_watch = list_services("a", "c", version="7"), watch
    source, state = make_source(server, tmp_path), State()
    assert not source.synced
    async with running(source, state):
        await until(lambda: source.synced and state.services() == {"a", "b"})
        assert state.snapshot.services["default", "a"].ports[0].port == 81
        assert server.watches()[0].params["resourceVersion"] == "7"
        assert server.watches()[0].params["allowWatchBookmarks"] == "true"
        assert source.problems() == []
        assert source.counters()["events", "services", "DELETED"] == 1
        assert source.counters()["relists", "services", "start"] == 1


async def test_a_long_list_comes_in_pages(server: HostileServer, tmp_path: Path) -> None:
    async def answer_list(request: Request, answer: Answer) -> None:
        number = int(request.params.get("continue", 0))
        await answer.page("services", [service(f"s{number}")], "7", str(number + 1) if number < 9 else "")

    server.on_list = answer_list
    source, state = make_source(server, tmp_path, page_objects=1), State()
    async with running(source, state):
        await until(lambda: source.synced)
        assert state.services() == {f"s{number}" for number in range(10)}
        assert {request.params["limit"] for request in server.lists()} == {"1"}
        assert len([batch for batch in state.batches if batch[0].kind == "services"]) == 1


async def test_an_expired_continue_token_restarts_the_list(server: HostileServer, tmp_path: Path) -> None:
    async def answer_list(request: Request, answer: Answer) -> None:
        if "continue" not in request.params:
            await answer.page("services", [service(f"a{len(server.lists())}")], "7", "old")
        elif len(server.lists()) < 4:
            await answer.status(410, {"kind": "Status", "code": 410, "message": "continue token is too old"})
        else:
            await answer.page("services", [service("b")], "7")

    server.on_list = answer_list
    source, state = make_source(server, tmp_path), State()
    async with running(source, state):
        await until(lambda: source.synced)
        assert state.services() == {"a3", "b"}
        assert source.counters()["relists", "services", "expired"] == 1


async def test_a_list_that_goes_round_in_circles_is_given_up(server: HostileServer, tmp_path: Path) -> None:
    async def answer_list(request: Request, answer: Answer) -> None:
        await answer.page("services", [], "7", "again")

    server.on_list = answer_list
    source = make_source(server, tmp_path)
    async with running(source, State()):
        await until(lambda: any("does not end" in problem for problem in source.problems()))
        assert not source.synced


async def test_a_list_without_an_end_is_given_up(server: HostileServer, tmp_path: Path) -> None:
    async def answer_list(request: Request, answer: Answer) -> None:
        number = int(request.params.get("continue", 0)) + 1
        await answer.page("services", [service(f"s{number}")], "7", str(number))

    server.on_list = answer_list
    for bound in ({"list_objects": 9}, {"lists_timeout_s": 0.1}):
        source = make_source(server, tmp_path, **bound)
        async with running(source, State()):
            await until(lambda source=source: any("does not end" in problem for problem in source.problems()))
            assert not source.synced
            assert source.counters()["unreadable", "services", "answer"] >= 1


async def test_a_list_that_takes_long_is_a_problem_meanwhile(server: HostileServer, tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def answer_list(request: Request, answer: Answer) -> None:
        await go_on.wait()
        await answer.page("services", [], "7")

    server.on_list = answer_list
    source = make_source(server, tmp_path, list_slow_s=0.05)
    async with running(source, State()):
        await until(lambda: any("list of services takes long" in problem for problem in source.problems()))
        go_on.set()
        await until(lambda: source.synced and source.problems() == [])


async def test_large_objects_come_in_smaller_pages(server: HostileServer, tmp_path: Path) -> None:
    """Whoever may write objects of a MiB must not be able to keep the mesh from being listed."""
    count, limits = 60, []

    async def answer_list(request: Request, answer: Answer) -> None:
        start, limit = int(request.params.get("continue", 0)), int(request.params["limit"])
        limits.append(limit)
        end = min(start + limit, count)
        items = [service(f"s{number}") for number in range(start, end)]
        for number, item in enumerate(items, start):
            item["filler"] = "x" * (30_000 if 20 <= number < 30 else 100)
        await answer.page("services", items, "7", str(end) if end < count else "")

    server.on_list = answer_list
    source, state = make_source(server, tmp_path, page_objects=16, page_aim_bytes=5_000, page_bytes=100_000), State()
    async with running(source, state):
        await until(lambda: source.synced)
        assert len(state.services()) == count
        assert source.problems() == []
    assert limits[0] == 16
    assert min(limits) == 1
    assert limits[-1] > 4


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff\xfe garbage\n",
        b"<html>502 Bad Gateway</html>\n",
        b'{"type": "ADDED", "object": {"metadata": {}}}\n',
        b"x" * 200_000,
    ],
)
async def test_garbage_in_a_watch_leads_to_a_new_list(server: HostileServer, tmp_path: Path, garbage: bytes) -> None:
    async def watch(request: Request, answer: Answer) -> None:
        await answer.begin()
        if len(server.watches()) > 1:
            await answer.hold()
        server.on_list = list_services("a", "c", version="9")
        await answer.chunk(encode_event("ADDED", service("b", "8")) + garbage)
        await answer.hold()

    server.on_list, server.on_watch = list_services("a"), watch
    source, state = make_source(server, tmp_path, line_bytes=100_000), State()
    async with running(source, state):
        await until(lambda: state.services() == {"a", "c"} and len(server.watches()) > 1)
        assert source.counters()["events", "services", "ADDED"] == 1
        assert source.counters()["relists", "services", "garbage"] == 1
        assert source.counters()["unreadable", "services", "answer"] == 1
        await until(lambda: source.problems() == [])


async def test_a_line_that_is_cut_off_is_not_applied_and_the_watch_goes_on(
    server: HostileServer, tmp_path: Path
) -> None:
    async def watch(request: Request, answer: Answer) -> None:
        await answer.begin()
        if request.params["resourceVersion"] == "8":
            await answer.event("ADDED", service("c", "9"))
            await answer.hold()
        line = encode_event("ADDED", service("c", "9"))
        await answer.event("ADDED", service("b", "8"))
        await answer.chunk(line[:-1])  # all of the JSON, but not known to be all
        await answer.cut()

    server.on_list, server.on_watch = list_services("a"), watch
    source, state = make_source(server, tmp_path), State()
    async with running(source, state):
        await until(lambda: state.services() == {"a", "b", "c"})
        assert source.counters()["events", "services", "ADDED"] == 2
        assert len(server.lists()) == 1


async def test_any_cutting_of_the_stream_gives_the_same(server: HostileServer, tmp_path: Path) -> None:
    stream = b"".join(encode_event("ADDED", service(f"s{number}", str(number))) for number in range(20))

    async def watch(request: Request, answer: Answer) -> None:
        await answer.begin()
        for start in range(0, len(stream), 37):
            await answer.chunk(stream[start : start + 37])
        await answer.hold()

    server.on_watch = watch
    source, state = make_source(server, tmp_path), State()
    async with running(source, state):
        await until(lambda: len(state.services()) == 20)


async def test_silence_leads_to_a_new_list(server: HostileServer, tmp_path: Path) -> None:
    source, state = make_source(server, tmp_path, stall_s=0.1), State()
    async with running(source, state):
        await until(lambda: source.synced)
        server.on_list = list_services("b")
        await until(lambda: state.services() == {"b"})
        assert source.counters()["watches", "services", "stalled"] >= 1


async def test_a_trickle_of_bytes_is_no_sign_of_life(server: HostileServer, tmp_path: Path) -> None:
    async def watch(request: Request, answer: Answer) -> None:
        await answer.begin()
        while True:
            await answer.chunk(b" ")
            await asyncio.sleep(0.01)

    server.on_watch = watch
    source = make_source(server, tmp_path, stall_s=0.2)
    async with running(source, State()):
        await until(lambda: source.counters().get(("watches", "services", "stalled"), 0) > 0)


async def test_bookmarks_keep_a_quiet_watch_alive_and_advance_it(server: HostileServer, tmp_path: Path) -> None:
    finish = asyncio.Event()

    async def watch(request: Request, answer: Answer) -> None:
        await answer.begin()
        if request.params["resourceVersion"] == "5":
            await answer.hold()
        while not finish.is_set():
            await answer.event("BOOKMARK", BOOKMARK)
            await asyncio.sleep(0.01)
        await answer.end()

    server.on_watch = watch
    source, state = make_source(server, tmp_path, stall_s=2), State()
    async with running(source, state):
        await until(lambda: source.counters().get(("events", "services", "BOOKMARK"), 0) > 30)
        seen_at = time.monotonic()
        await until(lambda: source.staleness(seen_at)["services"] < 0)
        assert source.staleness(seen_at)["pods"] > 0
        assert source.staleness_s(seen_at) > 0
        finish.set()
        await until(lambda: server.watches()[-1].params["resourceVersion"] == "5")
        assert len(server.lists()) == 1


@pytest.mark.parametrize("as_event", [True, False])
async def test_an_expired_version_leads_to_a_new_list(server: HostileServer, tmp_path: Path, as_event: bool) -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}

    async def watch(request: Request, answer: Answer) -> None:
        if request.params["resourceVersion"] == "7":
            await answer.begin()
            await answer.hold()
        server.on_list = list_services("b", version="7")
        if as_event:
            await answer.begin()
            await answer.event("ERROR", status)
            await answer.end()
        else:
            await answer.status(410, status)

    server.on_list, server.on_watch = list_services("a"), watch
    source, state = make_source(server, tmp_path), State()
    async with running(source, state):
        await until(lambda: state.services() == {"b"})
        assert source.counters()["relists", "services", "expired"] == 1
        await until(lambda: source.problems() == [])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<html>Please sign in</html>", "no JSON"),
        ('{"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": []}', "PodList came in place of"),
        ('{"kind": "ServiceList", "metadata": {"resourceVersion": "1"}, "items": [' + " " * 2_000_000, "MiB"),
    ],
)
async def test_an_answer_that_is_no_list_empties_nothing(
    server: HostileServer, tmp_path: Path, body: str, words: str
) -> None:
    async def lie(request: Request, answer: Answer) -> None:
        await answer.status(200, body)

    async def watch(request: Request, answer: Answer) -> None:
        server.on_list = lie
        await answer.begin()
        await answer.chunk(b"garbage\n")

    server.on_list, server.on_watch = list_services("a"), watch
    source, state = make_source(server, tmp_path, page_bytes=1 << 20), State()
    async with running(source, state):
        await until(lambda: any(words in problem for problem in source.problems()))
        assert state.services() == {"a"}
        server.on_list = list_services("b")
        await until(lambda: state.services() == {"b"})


async def test_a_list_that_breaks_off_is_no_list(server: HostileServer, tmp_path: Path) -> None:
    async def break_off(request: Request, answer: Answer) -> None:
        body = json.dumps({"kind": "ServiceList", "metadata": {"resourceVersion": "1"}, "items": []})
        await answer.raw(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body) + 9}\r\n\r\n{body}".encode())
        await answer.cut()

    server.on_list = break_off
    source = make_source(server, tmp_path)
    async with running(source, State()):
        await until(lambda: any("middle of an answer" in problem for problem in source.problems()))
        assert not source.synced
        server.on_list = list_services("a")
        await until(lambda: source.synced)
        assert source.problems() == []


async def test_retry_after_is_heeded(server: HostileServer, tmp_path: Path) -> None:
    asked_at: list[float] = []

    async def answer_list(request: Request, answer: Answer) -> None:
        asked_at.append(time.monotonic())
        if len(asked_at) == 1:
            await answer.status(429, "too many requests", "Retry-After: 1\r\n")
        else:
            await answer.page("services", [])

    server.on_list = answer_list
    source = make_source(server, tmp_path)
    async with running(source, State()):
        await until(lambda: source.synced)
    assert asked_at[1] - asked_at[0] >= 1


async def test_denied_pods_are_reported_once_left_out_and_tried_again(server: HostileServer, tmp_path: Path) -> None:
    async def deny(request: Request, answer: Answer) -> None:
        await answer.status(403, {"kind": "Status", "code": 403, "message": 'pods is forbidden: User "joe" cannot'})

    async def watch(request: Request, answer: Answer) -> None:
        await answer.begin()
        await answer.hold()

    server.kinds, server.on_list, server.on_watch = {"pods"}, deny, watch
    source, state = make_source(server, tmp_path), State()
    async with running(source, state):
        await until(lambda: source.synced)
        assert state.snapshot.unavailable == {"pods"}
        (problem,) = source.problems()
        assert "grant list and watch on pods in all namespaces (docs/rbac)" in problem
        assert "pods" not in source.staleness(time.monotonic())
        asked = len(server.lists())
        await until(lambda: len(server.lists()) > asked + 2)
        assert len([batch for batch in state.batches if batch[0].kind == "pods"]) == 1

        async def allow(request: Request, answer: Answer) -> None:
            await answer.page("pods", [{"metadata": {"name": "p", "namespace": "default"}}])

        server.on_list = allow
        await until(lambda: len(state.snapshot.pods) == 1)
        assert state.snapshot.unavailable == frozenset()
        assert source.problems() == []


async def test_pods_that_are_denied_later_stay_known_and_nobody_waits_for_more(
    server: HostileServer, tmp_path: Path
) -> None:
    async def allow(request: Request, answer: Answer) -> None:
        await answer.page("pods", [{"metadata": {"name": "p", "namespace": "default"}}])

    async def deny(request: Request, answer: Answer) -> None:
        server.on_list = deny
        await answer.status(403, "forbidden")

    server.kinds, server.on_list, server.on_watch = {"pods"}, allow, deny
    source, state = make_source(server, tmp_path, stall_s=0.1), State()
    async with running(source, state):
        await until(lambda: state.snapshot.unavailable == {"pods"})
        assert list(state.snapshot.pods) == [("default", "p")]
        later = time.monotonic() + 1_000

        def others_s() -> float:
            return max(age_s for kind, age_s in source.staleness(later).items() if kind != "pods")

        await until(lambda: source.staleness(later)["pods"] > others_s())
        assert source.staleness_s(later) == others_s()


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"services"}, 'User "joe" cannot list'),
        ({"endpointslices"}, "no"),
        ({"pods"}, 'User "system:anonymous" cannot'),
    ],
)
async def test_without_services_slices_or_credentials_there_is_no_mesh(
    server: HostileServer, tmp_path: Path, kinds: set[str], message: str
) -> None:
    async def deny(request: Request, answer: Answer) -> None:
        await answer.status(403, {"kind": "Status", "code": 403, "message": message})

    server.kinds, server.on_list = kinds, deny
    source, state = make_source(server, tmp_path), State()
    async with running(source, state):
        await until(lambda: len(server.lists()) > 3 * LIMITS.denials)
        assert not source.synced
        assert len(source.problems()) == 1
        assert state.snapshot.unavailable == frozenset()


async def test_new_credentials_are_loaded_when_the_old_ones_are_refused(server: HostileServer, tmp_path: Path) -> None:
    valid = "first"

    async def answer_list(request: Request, answer: Answer) -> None:
        await answer.page("services", [service(request.token)])

    async def watch(request: Request, answer: Answer) -> None:
        if request.token != valid:
            await answer.status(401, "Unauthorized")
            return
        await answer.begin()
        await until(lambda: request.token != valid)
        await answer.end()

    server.on_list, server.on_watch = answer_list, watch
    token = tmp_path / "token"
    token.write_text("first")
    kubeconfig = server.write_kubeconfig(tmp_path / "kubeconfig", {"tokenFile": str(token)})
    source, state = KubernetesSource(kubeconfig, limits=LIMITS), State()
    async with running(source, state):
        await until(lambda: state.services() == {"first"})
        valid = "second"
        await until(lambda: "401: Unauthorized; check the credentials" in str(source.problems()))
        token.write_text("second")
        await until(lambda: server.watches()[-1].token == "second" and source.problems() == [])
        assert len(server.lists()) == 1
        # What began with the old credentials goes on with them.
        assert len([request for request in server.requests if request.kind == "pods"]) == 2


async def test_an_exec_plugin_is_asked_for_the_token_and_again_when_it_is_refused(
    server: HostileServer, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        f"import json\nopen({str(count)!r}, 'a').write('x')\n"
        f"status = {{'token': 'token-' + str(len(open({str(count)!r}).read()))}}\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        " 'status': status}))\n"
    )
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": [str(plugin)]}

    async def check(request: Request, answer: Answer) -> None:
        if request.token != "token-2":
            await answer.status(401, "Unauthorized")
        else:
            await answer.page("services", [service("a")])

    server.on_list = check
    kubeconfig = server.write_kubeconfig(tmp_path / "kubeconfig", {"exec": command})
    source, state = KubernetesSource(kubeconfig, limits=LIMITS), State()
    async with running(source, state):
        await until(lambda: state.services() == {"a"})
        assert server.lists()[0].token == "token-1"


async def test_a_bad_object_is_named_and_spares_the_rest(server: HostileServer, tmp_path: Path) -> None:
    async def watch(request: Request, answer: Answer) -> None:
        await answer.begin()
        await answer.event("MODIFIED", service("a", "8", "eighty"))
        await answer.event("ADDED", service("b", "9"))
        await answer.hold()

    server.on_list, server.on_watch = list_services("a"), watch
    source, state = make_source(server, tmp_path), State()
    async with running(source, state):
        await until(lambda: state.services() == {"a", "b"})
        assert state.snapshot.services["default", "a"].ports[0].port == 80
        (problem,) = source.problems()
        assert "services default/a" in problem
        assert source.counters()["unreadable", "services", "object"] == 1


async def test_after_a_fault_of_the_sink_everything_is_told_again(server: HostileServer, tmp_path: Path) -> None:
    async def watch(request: Request, answer: Answer) -> None:
        await answer.begin()
        if len(server.watches()) == 1:
            server.on_list = list_services("a", "b")
            await until(lambda: source.synced)
            state.fault = RuntimeError("a bug")
            await answer.event("ADDED", service("b", "9"))
        await answer.hold()

    server.on_list, server.on_watch = list_services("a"), watch
    source, state = make_source(server, tmp_path), State()
    async with running(source, state):
        await until(lambda: state.services() == {"a", "b"})
        assert isinstance(state.batches[-1][0], Relist)


async def test_an_api_that_cannot_be_reached_is_a_problem_not_an_end(tmp_path: Path) -> None:
    async with HostileServer() as server:
        source = make_source(server, tmp_path)
    async with running(source, State()):
        await until(lambda: len(source.problems()) == 3)
        assert f"cannot list services at http://127.0.0.1:{server.port}: connect" in source.problems()[0]
        assert not source.synced
        assert source.staleness_s(time.monotonic()) > 0


async def test_a_namespace_restricts_every_request(server: HostileServer, tmp_path: Path) -> None:
    kubeconfig = server.write_kubeconfig(tmp_path / "kubeconfig")
    with pytest.raises(SourceError, match="no name of a namespace"):
        await KubernetesSource(kubeconfig, "../kube-system").open()
    source = KubernetesSource(kubeconfig, "shop", LIMITS)
    await source.open()
    async with running(source, State()):
        await until(lambda: source.synced)


@pytest.mark.parametrize("text", [None, "", "[]", "{", "current-context: x\n", "\x00"])
async def test_a_kubeconfig_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SourceError, match="cannot use the kubeconfig"):
        await KubernetesSource(str(path)).open()


async def test_outside_of_a_cluster_a_kubeconfig_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert "KUBERNETES_SERVICE_HOST" not in os.environ
    with pytest.raises(SourceError, match="--kubeconfig"):
        await KubernetesSource().open()
