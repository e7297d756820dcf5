"""The sidecar's ADS client against a real gRPC server, and against servers that are none."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest

from proxy.control import Control, Node
from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE
from proxy.route.model import Address, Destination
from tests.e2e.ads import Ads
from tests.e2e.processes import free_port
from tests.requirement import require
from tests.unit.proxy.control.resources import make_cluster, make_endpoints, make_listener, make_routes

A = ("10.0.0.1", 80)
B = ("10.0.0.2", 80)
N = "n.ns.svc.cluster.local:80"

# The opening of a server that speaks HTTP/2: SETTINGS, and the ACK of ours.
HTTP2 = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"


class Sidecar:
    """A client, and all that it has said."""

    def __init__(self, port: int, rng: Callable[[], float] | None = None, **options: Any) -> None:
        self.changes: list[tuple[str, Destination | None]] = []
        rng = rng or random.Random(1).random
        node = Node("pod.ns", options.pop("namespace", "ns"), "zone-a", "node-1")
        self.control = Control(
            Address("localhost", port), node, lambda *change: self.changes.append(change), rng, **options
        )

    def want(self, *names: str) -> None:
        for name in names:
            self.control.want(name, monotonic())

    def hosts(self, name: str = N) -> list[str] | None:
        """Where requests go; None where the destination is not known."""
        destination = self.control.known(name)
        return None if destination is None else [one.host for part in destination.clusters for one in part.endpoints]

    def missing(self) -> list[str]:
        return [name for name, destination in self.changes if destination is None]


@contextlib.asynccontextmanager
async def run(port: int, **options: Any) -> AsyncIterator[Sidecar]:
    sidecar = Sidecar(port, **options)
    task = asyncio.create_task(sidecar.control.run())
    try:
        yield sidecar
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def speak(
    script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[tuple[int, list[float]]]:
    """A server that follows a script for each connection: its port, and when it was connected to."""
    accepted: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(monotonic())
        with contextlib.suppress(OSError, EOFError):
            await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], accepted
    finally:
        server.close()


async def until(check: Callable[[], Any], what: str, timeout_s: float = 20.0) -> None:
    deadline_s = monotonic() + timeout_s
    while not check():
        if monotonic() > deadline_s:
            pytest.fail(f"waited {timeout_s:g} s in vain: {what}")
        await asyncio.sleep(0.01)


# ---- a server that works


async def test_subscribe_update_remove_and_add_again() -> None:
    async with Ads() as ads, run(ads.port) as sidecar:
        ads.put_service(N, A)
        sidecar.want(N)
        await until(lambda: sidecar.hosts() == ["10.0.0.1"], "the destination")
        assert sidecar.control.connected
        ads.put(ENDPOINTS, N, make_endpoints(N, A, B))
        await until(lambda: sidecar.hosts() == ["10.0.0.1", "10.0.0.2"], "the second endpoint")
        ads.put(ENDPOINTS, N, make_endpoints(N))
        await until(lambda: sidecar.hosts() == [], "no endpoints")
        ads.remove(LISTENER, N)
        await until(lambda: sidecar.changes[-1] == (N, None), "the removal")
        ads.put_service(N, B)
        await until(lambda: sidecar.hosts() == ["10.0.0.2"], "the new life")
        assert sidecar.control.last_error == ""
        assert sidecar.control.counters.nacks == 0
        received, sent = sidecar.control.read_bytes()
        assert received > 500
        assert sent > 500


async def test_the_first_request_says_who_asks() -> None:
    async with Ads() as ads, run(ads.port) as sidecar:
        sidecar.want(N)
        await until(lambda: ads.requests, "a request")
        node = ads.requests[0].node
        assert (node.id, node.user_agent_name, node.locality.zone) == ("pod.ns", "gossamer", "zone-a")
        assert dict(node.metadata) == {"NAMESPACE": "ns", "NODE_NAME": "node-1"}
        sidecar.want("other:80")
        await until(lambda: len(ads.requests) >= 3, "more requests")
        assert not any(request.HasField("node") for request in ads.requests[1:])


async def test_an_unknown_name_is_answered_remembered_and_may_come_to_be() -> None:
    async with Ads() as ads, run(ads.port) as sidecar:
        sidecar.want(N)
        await until(lambda: sidecar.changes == [(N, None)], "the answer")
        assert sidecar.control.is_missing(N)
        sidecar.want(N)
        ads.put_service(N, A)
        await until(lambda: sidecar.hosts() == ["10.0.0.1"], "the destination")
        assert not sidecar.control.is_missing(N)


async def test_the_old_cluster_stays_until_the_new_one_is_ready() -> None:
    async with Ads() as ads, run(ads.port) as sidecar:
        ads.put_service(N, A)
        sidecar.want(N)
        await until(lambda: sidecar.hosts() == ["10.0.0.1"], "the destination")
        ads.put(ROUTE, N, make_routes(N, "new"))
        ads.put(CLUSTER, "new", make_cluster("new"))
        await until(lambda: sidecar.control.delta.wants(ENDPOINTS, "new"), "the subscription")
        ads.put(ENDPOINTS, N, make_endpoints(N, B))
        await until(lambda: sidecar.hosts() == ["10.0.0.2"], "the old cluster's new endpoint")
        ads.put(ENDPOINTS, "new", make_endpoints("new", A))
        await until(lambda: sidecar.hosts() == ["10.0.0.1"], "the new cluster")
        assert None not in [destination for _, destination in sidecar.changes]


async def test_what_cannot_be_used_is_refused_and_changes_nothing() -> None:
    async with Ads() as ads, run(ads.port) as sidecar:
        ads.put_service(N, A)
        ads.put_service("good:80", A)
        sidecar.want(N, "good:80")
        await until(lambda: sidecar.hosts() and sidecar.hosts("good:80"), "both destinations")
        ads.put(ENDPOINTS, N, b"\xff\xff")
        await until(lambda: any(request.HasField("error_detail") for request in ads.requests), "the refusal")
        assert N in next(request.error_detail.message for request in ads.requests if request.HasField("error_detail"))
        assert sidecar.hosts() == ["10.0.0.1"]
        ads.put(ENDPOINTS, "good:80", make_endpoints("good:80", B))
        await until(lambda: sidecar.hosts("good:80") == ["10.0.0.2"], "another one's change")
        ads.put(ENDPOINTS, N, make_endpoints(N, B))
        await until(lambda: sidecar.hosts() == ["10.0.0.2"], "the mended one")
        assert sidecar.control.counters.nacks == 1


async def test_another_replica_sends_nothing_that_is_here() -> None:
    port = free_port()
    async with run(port) as sidecar:
        first = Ads()
        first.put_service(N, A)
        first.put_service("m:80", B)
        await first.start(port)
        sidecar.want(N, "m:80", "unknown:80")
        await until(lambda: sidecar.hosts() and sidecar.hosts("m:80") and sidecar.missing(), "all three")
        await first.stop()
        await until(lambda: not sidecar.control.connected, "the loss")
        changes = list(sidecar.changes)
        second = Ads()
        second.resources = first.resources
        await second.start(port)
        try:
            await until(lambda: second.sent, "an answer")
            # Only what is known not to exist is asked for anew.
            assert second.sent == [("unknown:80",)]
            assert sidecar.changes == changes
            second.put(ENDPOINTS, N, make_endpoints(N, A, B))
            await until(lambda: sidecar.hosts() == ["10.0.0.1", "10.0.0.2"], "a change")
            assert second.sent[1:] == [(N,)]
            assert sidecar.control.counters.streams == 2
        finally:
            await second.stop()


async def test_a_server_with_nothing_to_say_is_a_good_one(capfd: pytest.CaptureFixture[str]) -> None:
    async with Ads() as ads, run(ads.port) as sidecar:
        await known(sidecar, ads)
        await until(lambda: sidecar.control.last_error, "a vain attempt")
        ads.sent.clear()
        await ads.start(ads.port)
        await until(lambda: sidecar.control.connected and not sidecar.control.last_error, "the good news")
        assert ads.sent == []
        assert capfd.readouterr().err.count(": connected") == 1


async def test_what_was_removed_and_what_was_changed_while_away() -> None:
    async with Ads() as ads, run(ads.port) as sidecar:
        ads.put_service(N, A)
        ads.put_service("gone:80", A)
        sidecar.want(N, "gone:80")
        await until(lambda: sidecar.hosts() and sidecar.hosts("gone:80"), "both")
        await ads.stop()
        await until(lambda: not sidecar.control.connected, "the loss")
        assert sidecar.hosts() == sidecar.hosts("gone:80") == ["10.0.0.1"]
        for type_url in (LISTENER, ROUTE, CLUSTER, ENDPOINTS):
            ads.remove(type_url, "gone:80")
        ads.put(ENDPOINTS, N, make_endpoints(N, B))
        sidecar.want("new:80")
        ads.put_service("new:80", B)
        await ads.start(ads.port)
        await until(lambda: sidecar.missing() == ["gone:80"], "the removal")
        await until(lambda: sidecar.hosts() == sidecar.hosts("new:80") == ["10.0.0.2"], "the changes")


async def test_a_thousand_names_and_no_more() -> None:
    names = [f"s{index}.ns:80" for index in range(1_500)]
    async with Ads() as ads, run(ads.port) as sidecar:
        for name in names:
            ads.put(LISTENER, name, make_listener(name, N))
        ads.put_service(N, A)
        sidecar.want(*names[:1_000])
        await until(lambda: all(sidecar.hosts(name) for name in names[:1_000]), "a thousand", 60)
        sidecar.want(names[0])
        sidecar.want(*names[1_000:])
        await until(lambda: all(sidecar.hosts(name) for name in names[1_000:]), "the others", 60)
        assert sorted(sidecar.missing()) == sorted(names[1:501])
        assert sidecar.hosts(names[0]) == ["10.0.0.1"]
        assert sidecar.control.subscriptions == 1_000
        wanted: set[str] = set()
        for request in [request for request in ads.requests if request.type_url == LISTENER]:
            wanted |= set(request.resource_names_subscribe)
            wanted -= set(request.resource_names_unsubscribe)
        assert wanted == {names[0], *names[501:]}


async def test_five_thousand_endpoints_through_the_windows() -> None:
    addresses = [(f"10.1.{index // 250}.{index % 250}", 8080) for index in range(5_000)]
    async with Ads() as ads, run(ads.port) as sidecar:
        ads.put_service(N, *addresses)
        sidecar.want(N)
        for last in range(20):
            await until(lambda: sidecar.hosts(), "all of them", 60)
            assert sidecar.hosts() == [host for host, _ in addresses]
            addresses[-1] = ("10.2.0.0", 1 + last)
            ads.put(ENDPOINTS, N, make_endpoints(N, *addresses))
            await until(lambda port=1 + last: ports(sidecar) == {port}, "the change", 60)
            addresses[-1] = ("10.1.19.249", 8080)
            ads.put(ENDPOINTS, N, make_endpoints(N, *addresses))
            await until(lambda: ports(sidecar) == {8080}, "the change back", 60)
        # More than the connection's window holds, so it was credited.
        assert sidecar.control.read_bytes()[0] > 4 * 1024 * 1024


def ports(sidecar: Sidecar) -> set[int]:
    destination = sidecar.control.known(N)
    assert destination is not None
    return {destination.clusters[0].endpoints[-1].port}


async def test_a_connection_that_grows_old_is_left_without_a_gap() -> None:
    ads = Ads()
    ads.put_service(N, A)
    await ads.start(options=[("grpc.max_connection_age_ms", 300), ("grpc.max_connection_age_grace_ms", 200)])
    try:
        async with run(ads.port) as sidecar:
            sidecar.want(N)
            await until(lambda: ads.streams >= 3, "the third stream")
            ads.put(ENDPOINTS, N, make_endpoints(N, B))
            await until(lambda: sidecar.hosts() == ["10.0.0.2"], "a change")
            # Each resource once, and the change; again only if its stream ended while it was under way.
            assert len([names for names in ads.sent if names == (N,)]) in (5, 6)
            assert sidecar.missing() == []
    finally:
        await ads.stop()


async def test_a_server_that_finds_our_pings_too_many_gets_fewer() -> None:
    ads = Ads()
    await ads.start(options=[("grpc.http2.min_ping_interval_without_data_ms", 300_000)])
    try:
        async with run(ads.port) as sidecar:
            sidecar.control.keepalive_s = 0.01
            sidecar.want(N)
            await until(lambda: sidecar.control.keepalive_s > 0.01, "GOAWAY(ENHANCE_YOUR_CALM)")
            await until(lambda: ads.streams >= 2, "the next stream")
    finally:
        await ads.stop()


# ---- TLS


def make_keys(folder: Path) -> Path:
    """A CA's certificate and key that also serve as localhost's."""
    require("openssl", "openssl (apt-get install openssl)")
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout {folder}/key.pem"
    command += f" -out {folder}/cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(command.split(), check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


async def test_tls(keys: Path) -> None:
    ads = Ads()
    ads.put_service(N, A)
    await ads.start(tls=((keys / "key.pem").read_bytes(), (keys / "cert.pem").read_bytes()))
    try:
        async with run(ads.port, ca_file=str(keys / "cert.pem")) as sidecar:
            sidecar.want(N)
            await until(lambda: sidecar.hosts() == ["10.0.0.1"], "the destination")
            await ads.stop()
            await until(lambda: not sidecar.control.connected, "the loss")
    finally:
        await ads.stop()


async def test_tls_without_trust(keys: Path, tmp_path: Path) -> None:
    strangers = make_keys(tmp_path)
    ads = Ads()
    await ads.start(tls=((keys / "key.pem").read_bytes(), (keys / "cert.pem").read_bytes()))
    try:
        async with run(ads.port, ca_file=str(tmp_path / "ca.pem")) as sidecar:
            await until(lambda: "cannot use the CA file" in sidecar.control.last_error, "the missing CA")
            (strangers / "cert.pem").rename(tmp_path / "ca.pem")
            await until(lambda: "certificate verify failed" in sidecar.control.last_error, "the distrust")
            assert ads.streams == 0
            # The CA is exchanged on disk: no restart.
            shutil.copy(keys / "cert.pem", tmp_path / "ca.pem")
            await until(lambda: sidecar.control.connected, "the trust", 60)
    finally:
        await ads.stop()


# ---- the cache


async def test_a_restarted_sidecar_serves_without_the_control_plane(tmp_path: Path) -> None:
    cache = tmp_path / "xds"
    async with Ads() as ads:
        ads.put_service(N, A)
        ads.put_service("m:80", B)
        async with run(ads.port, cache_path=str(cache)) as sidecar:
            sidecar.want(N, "m:80", "unknown:80")
            await until(lambda: sidecar.hosts() and sidecar.hosts("m:80"), "both")
            await until(lambda: cache.exists() and b"m:80" in cache.read_bytes(), "the cache")
        await ads.stop()
        async with run(ads.port, cache_path=str(cache)) as sidecar:
            await until(lambda: sidecar.hosts() == ["10.0.0.1"], "the destination from the cache")
            assert sidecar.hosts("m:80") == ["10.0.0.2"]
            ads.sent.clear()
            ads.requests.clear()
            await ads.start(ads.port)
            sidecar.want("new:80")
            await until(lambda: sidecar.missing() == ["new:80"], "an answer")
            await until(lambda: len({request.type_url for request in ads.requests}) == 4, "all types' first requests")
            assert ads.sent == [("new:80",)]
            ads.put(ENDPOINTS, N, make_endpoints(N, B))
            await until(lambda: sidecar.hosts() == ["10.0.0.2"], "a change")


async def test_a_cache_that_cannot_be_used_is_ignored_with_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "xds"
    async with Ads() as ads:
        ads.put_service(N, A)
        async with run(ads.port, cache_path=str(cache)) as sidecar:
            sidecar.want(N)
            await until(lambda: cache.exists() and N.encode() in cache.read_bytes(), "the cache")
        capfd.readouterr()
        async with run(ads.port, cache_path=str(cache), namespace="other") as sidecar:
            await until(lambda: sidecar.control.connected, "the connection")
            assert sidecar.changes == []
        assert capfd.readouterr().err.count("another namespace") == 1
        cache.write_bytes(cache.read_bytes()[:-1])
        async with run(ads.port, cache_path=str(cache)) as sidecar:
            sidecar.want(N)
            await until(lambda: sidecar.hosts() == ["10.0.0.1"], "the destination from the server")
            assert capfd.readouterr().err.count("is damaged") == 1
            await until(lambda: N.encode() in cache.read_bytes(), "the mended cache")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save at once, and again at once."""
    monkeypatch.setattr("proxy.control.control._SAVE_DELAY_S", 0.01)
    monkeypatch.setattr("proxy.control.control._SAVE_PAUSE_S", 0.0)


@pytest.mark.usefixtures("hasty")
async def test_a_cache_that_cannot_be_written_is_mentioned_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    err = ""
    async with Ads() as ads, run(ads.port, cache_path=str(tmp_path / "no" / "xds")) as sidecar:
        ads.put_service(N, A)
        sidecar.want(N)
        for address in (A, B, A):
            ads.put(ENDPOINTS, N, make_endpoints(N, address))
            await until(lambda host=address[0]: sidecar.hosts() == [host], "a change")
            await asyncio.sleep(0.1)
            err += capfd.readouterr().err
        assert err.count("cannot be written") == 1
        (tmp_path / "no").mkdir()
        ads.put(ENDPOINTS, N, make_endpoints(N, B))
        await until((tmp_path / "no" / "xds").exists, "the cache")


@pytest.mark.usefixtures("hasty")
async def test_a_cache_is_written_for_what_is_good_alone(tmp_path: Path) -> None:
    cache = tmp_path / "xds"
    async with Ads() as ads, run(ads.port, cache_path=str(cache)) as sidecar:
        ads.put_service(N, A)
        sidecar.want(N)
        await until(lambda: cache.exists() and N.encode() in cache.read_bytes(), "the cache")
        inode = cache.stat().st_ino
        sidecar.want(*(f"unknown{index}:80" for index in range(50)))
        await until(lambda: len(sidecar.missing()) == 50, "the answers")
        await asyncio.sleep(0.1)
        assert cache.stat().st_ino == inode
        ads.remove(LISTENER, N)
        await until(lambda: N.encode() not in cache.read_bytes(), "its removal")


# ---- a server that does not work


async def known(sidecar: Sidecar, ads: Ads) -> None:
    """Let the sidecar learn something that it must not lose."""
    ads.put_service(N, A)
    sidecar.want(N)
    await until(lambda: sidecar.hosts() == ["10.0.0.1"], "the destination")
    await ads.stop()
    await until(lambda: not sidecar.control.connected, "the loss")


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def greet_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HTTP2)
    await writer.drain()


async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await reader.read()


async def noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(random.Random(1).randbytes(100_000))
    await reader.read()


async def goaway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HTTP2 + b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))
    await reader.read()


async def wrong_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HTTP2)
    # Our HEADERS on stream 1.
    await reader.readuntil(b"\x01\x04\x00\x00\x00\x01")
    head = b"\x88\x0f\x10\x10application/grpc"
    writer.write(b"\x00\x00" + bytes((len(head),)) + b"\x01\x04\x00\x00\x00\x01" + head)
    writer.write(b"\x00\x00\x08\x00\x00\x00\x00\x00\x01" + b"\x00\x00\x00\x00\x03\xff\xff\xff")
    await reader.read()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (close, "connection"),
        (greet_and_close, "connection"),
        (http1, "broke HTTP/2"),
        (noise, "broke HTTP/2"),
        (goaway, "new connection"),
        (wrong_message, "DeltaDiscoveryResponse"),
    ],
)
async def test_a_server_that_is_none_is_tried_less_and_less(script: Any, reason: str) -> None:
    async with speak(script) as (port, accepted), run(port, rng=lambda: 1.0) as sidecar:
        sidecar.want(N)
        await until(lambda: len(accepted) >= 5, "five attempts")
        waits = [after - before for before, after in pairwise(accepted)]
        assert all(wait >= least for wait, least in zip(waits, (0.1, 0.2, 0.4, 0.8), strict=False)), waits
        await until(lambda: reason in sidecar.control.last_error, f"the reason, not {sidecar.control.last_error!r}")
        assert sidecar.changes == []


@pytest.mark.parametrize("script", [close, http1, noise, goaway, wrong_message])
async def test_what_is_known_survives_a_server_that_is_none(script: Any) -> None:
    async with Ads() as ads, run(ads.port) as sidecar:
        await known(sidecar, ads)
        async with speak(script) as (port, accepted):
            sidecar.control.address = Address("localhost", port)
            await until(lambda: len(accepted) >= 3, "three attempts")
        assert sidecar.hosts() == ["10.0.0.1"]
        assert sidecar.missing() == []
        await ads.start(ads.port)
        sidecar.control.address = Address("localhost", ads.port)
        ads.put(ENDPOINTS, N, make_endpoints(N, B))
        await until(lambda: sidecar.hosts() == ["10.0.0.2"], "the change", 60)


async def test_a_status_instead_of_an_answer() -> None:
    async with Ads() as ads, run(ads.port) as sidecar:
        ads.ends_with = grpc.StatusCode.UNAVAILABLE
        sidecar.want(N)
        await until(lambda: ads.streams >= 3, "three attempts")
        assert sidecar.control.last_error == "it ended the stream with gRPC status 14: so it is: 100 %"
        assert sidecar.changes == []
        ads.ends_with = None
        ads.put_service(N, A)
        await until(lambda: sidecar.hosts() == ["10.0.0.1"], "the destination", 60)


async def test_a_server_of_another_service() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with run(port) as sidecar:
        await until(lambda: "gRPC status 12" in sidecar.control.last_error, "UNIMPLEMENTED")
    await server.stop(None)


async def test_one_that_accepts_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.control.link.SETTINGS_TIMEOUT_S", 0.1)
    async with speak(lambda reader, writer: reader.read()) as (port, accepted), run(port) as sidecar:
        sidecar.want(N)
        await until(lambda: len(accepted) >= 2, "the second attempt")
        assert "no SETTINGS" in sidecar.control.last_error
        assert sidecar.changes == []


async def test_a_stream_that_is_never_answered_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.control.conversation.SILENCE_S", 0.1)
    monkeypatch.setattr("proxy.control.delta.MISSING_AFTER_S", 0.05)
    async with Ads() as ads, run(ads.port) as sidecar:
        ads.silent = True
        sidecar.want(N)
        await until(lambda: ads.streams >= 2, "the second attempt")
        assert "answered nothing" in sidecar.control.last_error
        assert sidecar.changes == []


async def test_a_name_that_is_never_answered_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.control.link.ANSWER_S", 0.0)
    monkeypatch.setattr("proxy.control.delta.MISSING_AFTER_S", 0.1)
    async with Ads() as ads, run(ads.port) as sidecar:
        ads.put_service(N, A)
        sidecar.want(N)
        await until(lambda: sidecar.hosts(), "the destination")
        ads.silent = True
        sidecar.want("ignored:80")
        await until(lambda: sidecar.missing() == ["ignored:80"], "the conclusion")
        assert sidecar.hosts() == ["10.0.0.1"]


async def test_a_peer_that_has_died_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-open connection: TCP believes in it, PINGs are not answered."""
    monkeypatch.setattr("proxy.control.link.PING_TIMEOUT_S", 0.1)
    pings = bytearray()

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HTTP2)
        while data := await reader.read(65_536):
            pings.extend(data)

    async with Ads() as ads, run(ads.port) as sidecar:
        await known(sidecar, ads)
        sidecar.control.keepalive_s = 0.1
        async with speak(die) as (port, _):
            sidecar.control.address = Address("localhost", port)
            await until(lambda: "does not answer a PING" in sidecar.control.last_error, "the death", 60)
            assert pings.count(b"\x00\x00\x08\x06\x00\x00\x00\x00\x00gossamer") >= 1
        assert sidecar.hosts() == ["10.0.0.1"]


async def test_a_server_that_does_not_read_costs_a_bounded_amount() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A stream window of 0: nothing of what we say goes out.
        writer.write(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00" + HTTP2[9:])
        await reader.read()

    async with speak(stall) as (port, _), run(port) as sidecar:
        await until(lambda: sidecar.control.connected, "the connection")
        for index in range(20_000):
            sidecar.want(f"n{index}:80")
            if index % 100 == 0:
                await asyncio.sleep(0)
        talk = sidecar.control._talk
        assert talk is not None
        stream = talk.link.call.stream
        assert stream is not None
        assert sum(len(piece) for piece in stream.queue or ()) < 100_000
        assert sidecar.control.subscriptions == 1_000


async def test_a_name_that_does_not_resolve() -> None:
    async with run(1) as sidecar:
        sidecar.control.address = Address("nowhere.invalid", 4150)
        await until(lambda: sidecar.control.last_error == "its name does not resolve", "the reason")
