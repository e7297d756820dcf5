"""Connections that were led here, with real sockets; what the kernel would say of each is said by the test."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from proxy import clusters as clusters_module
from proxy import interception as interception_module
from proxy.inbound import Inbound
from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.registry import Registry
from proxy.originals import Address
from proxy.outbound import Outbound
from proxy.route import model
from proxy.traffic import Traffic, keep_time

ADMIN = 4191
POST = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab"
GET = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Pod:
    """The inbound side of a sidecar, and an application that answers HTTP/1 after a while, at all of 127.0.0.0/8."""

    def __init__(self, traffic: Traffic, port: int, heard: list[bytes]) -> None:
        assert traffic.interception is not None
        self.traffic = traffic
        self.interception = traffic.interception
        self.port = port
        self.heard = heard

    async def call(self, original: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that was going there."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            sock, _ = listening.accept()
        sock.setblocking(False)
        self.interception.acceptor.arrived(sock, original)
        return reader, writer

    async def ask(self, original: Address, request: bytes) -> bytes:
        reader, writer = await self.call(original)
        writer.write(request)
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - what is looked at has no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def run_pod(delay_s: float = 0.0) -> AsyncIterator[Pod]:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            heard.append(head)
            if head.startswith(b"POST /crash "):
                server.close()
            elif not head.startswith(b"PRI"):
                await asyncio.sleep(delay_s)
                writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    registry = Registry()
    own = frozenset((4140, 4143, ADMIN, ADMIN + 1))
    inbound = Inbound(model.Settings(), registry, random.Random(1), own, ConnectionCounts(registry))
    clock = asyncio.create_task(keep_time([inbound], registry))
    try:
        yield Pod(inbound.traffic, server.sockets[0].getsockname()[1], heard)
    finally:
        clock.cancel()
        inbound.traffic.close()
        server.close()
        await asyncio.sleep(0)


async def test_a_request_goes_where_it_was_going() -> None:
    async with run_pod() as pod:
        assert (await pod.ask(("127.0.0.1", pod.port), POST)).startswith(b"HTTP/1.1 200")


async def test_who_lost_a_request_is_looked_for_and_what_died_with_it_is_forgotten() -> None:
    async with run_pod() as pod:
        answer = await pod.ask(("127.0.0.1", pod.port), POST.replace(b" / ", b" /crash "))
        assert answer.startswith(b"HTTP/1.1 502")
        (cluster,) = pod.traffic.clusters.http1_by_name.values()
        (endpoint,) = cluster.balancer.endpoints
        await eventually(lambda: "refused" in cluster.last_error)
        assert not endpoint.estimate.known


async def test_who_waits_for_a_word_of_the_control_plane_takes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[Callable[[], None]] = []
    async with run_pod() as pod:
        room = pod.traffic.listener.room
        before = room.count_places()
        monkeypatch.setattr(pod.interception.policy, "prepare", lambda original, then: waiting.append(then))
        reader, writer = await pod.call(("127.0.0.1", pod.port))
        assert pod.interception.count() == 1
        room.max_connections = 1
        assert not room.admit()
        assert room.count_places() <= before
        waiting[0]()
        writer.write(GET)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await eventually(lambda: pod.traffic.count() == 0)


async def test_a_bug_with_one_leaves_nobody_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(original: Address, then: Callable[[], None]) -> None:
        raise RuntimeError("a bug")

    async with run_pod() as pod:
        monkeypatch.setattr(pod.interception.policy, "prepare", fail)
        with socket.socket() as sock, pytest.raises(RuntimeError):
            pod.interception.acceptor.arrived(sock, ("127.0.0.1", pod.port))
        assert pod.interception.count() == 0


# ---- our own ports


@pytest.mark.parametrize("host", ["10.0.0.9", "127.0.0.1", "fd00::9"])
@pytest.mark.parametrize("port", [4140, 4143, ADMIN, ADMIN + 1])
async def test_nobody_is_led_to_our_own_ports_whatever_the_address(host: str, port: int) -> None:
    async with run_pod() as pod:
        answer = await pod.ask(
            (host, port), b"POST /shutdown HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 508")
        assert await pod.ask((host, port), b"\x00raw") == b""


# ---- an HTTP proxy of the application's own


@pytest.mark.parametrize(
    ("line", "is_for_proxy"),
    [
        (b"CONNECT a.example:443 HTTP/1.1", True),
        (b"GET http://a.example/b HTTP/1.1", True),
        (b"GET /b HTTP/1.1", False),
    ],
)
@pytest.mark.parametrize("silence_s", [0.0, 0.3])
async def test_what_is_said_to_an_http_proxy_is_passed_on_however_late(
    line: bytes, is_for_proxy: bool, silence_s: float
) -> None:
    """What is for no proxy is served as HTTP/1, so that it can be no upgrade to what nobody looks into."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass  # it was dialled for a client that was silent for too long
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    registry = Registry()
    counts = ConnectionCounts(registry)
    settings = model.Settings(detect_timeout_s=0.1)
    config = model.ProxyConfig(model.Address("127.0.0.1", 0), None, (), (), settings)
    outbound = Outbound(config, registry, random.Random(1))
    outbound.intercept(frozenset(), counts)
    clock = asyncio.create_task(keep_time([outbound], registry))
    assert outbound.traffic.interception is not None
    pod = Pod(outbound.traffic, server.sockets[0].getsockname()[1], heard)
    reader, writer = await pod.call(("127.0.0.1", pod.port))
    try:
        if silence_s:
            await eventually(lambda: b'protocol="opaque",reason="silence"} 1' in registry.render())
        request = line + b"\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
        writer.write(request)
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (heard == [request]) is is_for_proxy
    finally:
        writer.close()
        clock.cancel()
        outbound.traffic.close()
        server.close()
        await asyncio.sleep(0)


# ---- what was accepted before the end is served


async def test_a_request_that_was_accepted_while_the_drain_began_is_answered() -> None:
    async with run_pod(delay_s=0.3) as pod:
        (address,) = pod.interception.listen(("127.0.0.1",), 0, False)
        pod.interception.here = ("127.0.0.1", pod.port)
        ending = asyncio.create_task(pod.traffic.drain(20.0))
        await asyncio.sleep(0.03)
        reader, writer = await asyncio.open_connection(*address)
        await asyncio.sleep(0.2)
        assert not ending.done()
        writer.write(POST)
        async with asyncio.timeout(10):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        writer.close()
        assert await ending


async def test_the_drain_waits_no_longer_than_it_may() -> None:
    async with run_pod(delay_s=30.0) as pod:
        _, writer = await pod.call(("127.0.0.1", pod.port))
        writer.write(POST)
        await eventually(lambda: bool(pod.heard))
        assert not await pod.traffic.drain(0.3)
        writer.close()


async def test_whoever_says_nothing_does_not_hold_the_drain_up() -> None:
    async with run_pod() as pod:
        pod.interception.detector.timeout_s = 1_000.0
        reader, writer = await pod.call(("127.0.0.1", pod.port))
        async with asyncio.timeout(10):
            assert await pod.traffic.drain(1_000.0)
            assert await reader.read() == b""
        writer.close()


# ---- how many destinations are remembered


async def test_a_scan_of_many_ports_leaves_no_more_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interception_module, "MAX_SCOPES", 20)
    async with run_pod() as pod:
        for number in range(1, 60):
            assert (await pod.ask((f"127.0.0.{number}", pod.port), GET)).startswith(b"HTTP/1.1 200")
            assert len(pod.interception.scopes) <= 20
        assert len(pod.traffic.clusters.wishes) <= 20
        assert len(pod.traffic.clusters.http1_by_name) <= 20


async def test_all_destinations_together_remember_no_more_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interception_module, "MAX_DECISIONS", 20)
    monkeypatch.setattr(interception_module, "MAX_MEMO_BYTES", 20_000)
    async with run_pod() as pod:
        for number in range(15):
            for name in (b"a", b"b"):
                head = b"GET / HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % name
                for _ in range(2):  # what comes once is not remembered
                    answer = await pod.ask((f"127.0.0.{number + 2}", pod.port), head)
                    assert answer.startswith(b"HTTP/1.1 200")
        scopes = pod.interception.scopes
        assert len(scopes) == 15

        def count() -> tuple[int, int]:
            decisions = sum(len(scope.http1.decisions) for scope in scopes.values())
            return decisions, sum(scope.memo.count_bytes() for scope in scopes.values())

        await pod.interception.sweep(0.0)
        decisions, memo_bytes = count()
        assert decisions <= 20
        assert memo_bytes <= 20_000
        assert (await pod.ask(("127.0.0.2", pod.port), GET)).startswith(b"HTTP/1.1 200")


async def test_what_was_going_to_no_address_of_this_pod_is_led_nowhere() -> None:
    async with run_pod() as pod:
        assert (await pod.ask(("192.0.2.1", pod.port), GET)).startswith(b"HTTP/1.1 508")
        assert (await pod.ask(("127.0.0.1", pod.port), GET)).startswith(b"HTTP/1.1 200")
    assert len(pod.heard) == 1


async def test_where_all_are_in_use_connections_are_passed_on_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interception_module, "MAX_SCOPES", 2)
    async with run_pod(delay_s=0.5) as pod:
        calls = (pod.ask((f"127.0.0.{number}", pod.port), GET) for number in range(1, 6))
        answers = await asyncio.gather(*calls)
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert len(pod.interception.scopes) == 2
        # Passed on as it is, a request is not rewritten.
        assert pod.heard.count(GET) == 3


# ---- an application that speaks HTTP/1 alone


async def test_it_hears_no_preface_before_somebody_speaks_http_2() -> None:
    async with run_pod() as pod:
        await pod.ask(("127.0.0.1", pod.port), GET)
        await pod.ask(("127.0.0.1", pod.port), GET)
        assert [head.startswith(b"PRI") for head in pod.heard] == [False, False]


async def test_it_hears_prefaces_only_as_long_as_somebody_speaks_http_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters_module, "_FUTILE_S", 0.5)
    async with run_pod() as pod:
        original = ("127.0.0.1", pod.port)
        _, writer = await pod.call(original)
        writer.write(PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        # GET / of authority "a", over and done with one HEADERS frame.
        writer.write(b"\x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x01a")
        forms = pod.traffic.clusters.by_name
        await eventually(lambda: bool(forms))
        await eventually(lambda: not forms)
        heard = len(pod.heard)
        assert heard > 1
        await asyncio.sleep(2.5)  # longer than the longest pause between two dials
        assert len(pod.heard) == heard
        writer.close()
