"""Accepting and detection with real sockets: clients that dribble, listen first, leave, or say something else late."""

from __future__ import annotations

import json
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from proxy.codec.detect import HTTP1, HTTP2, MORE, OPAQUE, TLS
from proxy.net.accept import parse_original
from proxy.route.hints import Expectation
from tests.e2e.opaque_stage import OpaqueStage, Server, echo, read_exactly, read_to_end, run_in_namespace
from tests.e2e.processes import Process, eventually
from tests.unit.proxy.codec.hellos import make_hello

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MYSQL = ("10.0.0.1", 3307)
HTTP = Expectation(MORE, True)


def greet(sock: socket.socket) -> None:
    """A server that speaks first."""
    sock.sendall(b"hello\n")
    echo(sock)


def decided(stage: OpaqueStage) -> tuple[int, str]:
    decision = stage.call(lambda: stage.sidecar.decisions[-1])
    return decision.kind, decision.reason


@pytest.mark.parametrize("has_uvloop", [True, False])
@pytest.mark.parametrize("dribbles", [False, True])
def test_http_is_found_whole_or_byte_by_byte(has_uvloop: bool, dribbles: bool) -> None:
    with OpaqueStage([], has_uvloop=has_uvloop) as stage:
        for data, kind, name in ((REQUEST, HTTP1, b"http1"), (PREFACE, HTTP2, b"http2")):
            with stage.connect() as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for piece in [data[at : at + 1] for at in range(len(data))] if dribbles else [data]:
                    client.sendall(piece)
                    time.sleep(0.001 * dribbles)
                    if dribbles and b"HTTP/1.1" in data[: data.index(piece)]:
                        break
                assert client.recv(100) == name
            assert decided(stage) == (kind, "bytes")
        assert stage.metric("gossamer_detections_total{protocol=http1,reason=bytes}") == 1
        assert stage.metric("gossamer_detections_total{protocol=http2,reason=bytes}") == 1


@pytest.mark.parametrize("pieces", [1, 7])
def test_tls_passes_untouched_and_is_named(pieces: int) -> None:
    hello = make_hello("shop.example")
    with Server(echo) as server, OpaqueStage([server.address]) as stage:
        with stage.connect() as client:
            size = len(hello) // pieces + 1
            for at in range(0, len(hello), size):
                client.sendall(hello[at : at + size])
                time.sleep(0.01 * (pieces > 1))
            assert read_exactly(client, len(hello)) == hello
        assert decided(stage) == (TLS, "bytes")
        last = stage.sidecar.decisions[-1]
        assert last.hello is not None
        assert last.hello.server_name == "shop.example"


def test_anything_else_passes_untouched() -> None:
    with Server(echo) as server, OpaqueStage([server.address]) as stage:
        with stage.connect() as client:
            client.sendall(b"\0\1\2")
            assert read_exactly(client, 3) == b"\0\1\2"
        assert decided(stage) == (OPAQUE, "bytes")


def test_half_a_word_and_the_end_is_passed_on() -> None:
    """The end does not show while bytes before it are unread: the kernel's state of the connection tells of it."""
    with Server(echo) as server, OpaqueStage([server.address]) as stage:
        for data in (b"GE", b""):
            with stage.connect() as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                assert read_to_end(client) == data
            assert decided(stage) == (OPAQUE, "end")
        stage.wait_idle()


def test_a_reset_before_the_decision_leaves_nothing() -> None:
    with OpaqueStage([]) as stage:
        client = stage.connect()
        eventually(lambda: stage.call(lambda: len(stage.sidecar.detector)) == 1, "the accept")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        eventually(lambda: stage.call(lambda: len(stage.sidecar.detector)) == 0, "the reset")


def test_a_server_that_speaks_first_is_remembered() -> None:
    with Server(greet) as server, OpaqueStage([server.address], original=MYSQL, detect_timeout_s=0.3) as stage:
        for reason in ("silence", "hint", "hint"):
            with stage.connect() as client:
                assert read_exactly(client, 6) == b"hello\n"
                assert decided(stage) == (OPAQUE, reason)
                client.sendall(b"x")
                assert client.recv(1) == b"x"
            stage.wait_idle()
        assert len(stage.sidecar.hints) == 1
        assert stage.metric("gossamer_detections_total{protocol=opaque,reason=hint}") == 2


@pytest.mark.parametrize("dribbles", [False, True])
@pytest.mark.parametrize("has_uvloop", [True, False])
def test_http_that_comes_late_is_still_http(has_uvloop: bool, dribbles: bool) -> None:
    """A client opens its connection ahead of its first request, where a server once spoke first."""
    with (
        Server(read_to_end) as server,
        OpaqueStage([server.address], original=MYSQL, has_uvloop=has_uvloop) as stage,
    ):
        stage.call(lambda: stage.sidecar.hints.learn(MYSQL, time.monotonic()))
        with stage.connect() as client:
            eventually(lambda: stage.metric("tcp_open_total{peer=dst}") == 1, "the server's connection")
            assert decided(stage) == (OPAQUE, "hint")
            if dribbles:
                client.sendall(REQUEST[:5])
                time.sleep(0.05)
            client.sendall(REQUEST[5 * dribbles :])
            assert client.recv(100) == b"http1"
        assert decided(stage) == (HTTP1, "late")
        assert stage.metric("gossamer_detections_total{protocol=http1,reason=late}") == 1
        stage.wait_idle()
        assert len(stage.sidecar.hints) == 0
        assert server.errors == []


def test_other_words_that_come_late_are_passed_on() -> None:
    with Server(echo) as server, OpaqueStage([server.address], original=MYSQL, detect_timeout_s=0.2) as stage:
        with stage.connect() as client:
            eventually(lambda: stage.metric("tcp_open_total{peer=dst}") == 1, "the server's connection")
            client.sendall(b"GE")
            time.sleep(0.05)
            client.sendall(b"T\n")
            assert read_exactly(client, 4) == b"GET\n"
        stage.wait_idle()
        assert len(stage.sidecar.hints) == 0


def test_a_client_that_speaks_first_takes_a_hint_back() -> None:
    with Server(echo) as server, OpaqueStage([server.address], original=MYSQL) as stage:
        stage.call(lambda: stage.sidecar.hints.learn(MYSQL, time.monotonic()))
        with stage.connect() as client:
            client.sendall(b"\0")
            assert client.recv(1) == b"\0"
        assert decided(stage) == (OPAQUE, "bytes")
        assert len(stage.sidecar.hints) == 0


def test_a_known_port_is_not_waited_for() -> None:
    with Server(greet) as server, OpaqueStage([server.address], original=("10.0.0.1", 3306)) as stage:
        with stage.connect() as client:
            assert read_exactly(client, 6) == b"hello\n"
        assert decided(stage) == (OPAQUE, "port")
        with stage.connect() as client:
            client.sendall(REQUEST)
            assert read_exactly(client, 6 + len(REQUEST)) == b"hello\n" + REQUEST
        assert len(stage.sidecar.hints) == 0


def test_a_port_with_http_policy_never_becomes_opaque() -> None:
    with (
        Server(greet) as server,
        OpaqueStage([server.address], original=MYSQL, expectation=HTTP, detect_timeout_s=0.2) as stage,
    ):
        stage.call(lambda: stage.sidecar.hints.learn(MYSQL, time.monotonic()))
        with stage.connect() as slow, stage.connect() as silent, stage.connect() as ended, stage.connect() as other:
            other.sendall(b"\0\1\2")
            with pytest.raises(ConnectionResetError):
                other.recv(1)
            slow.sendall(b"GE")
            ended.shutdown(socket.SHUT_WR)
            assert read_to_end(ended) == b""
            detector = stage.sidecar.detector
            eventually(lambda: len(detector.begun) == 1, "a request line that is not whole to be waited for")
            slow.sendall(REQUEST[2:])
            assert slow.recv(100) == b"http1"
            with stage.connect() as slower:
                slower.sendall(b"GE")
                eventually(lambda: len(detector.begun) == 1, "the next one")
                stage.call(lambda: setattr(next(iter(detector.begun)), "since_s", 0.0))
                with pytest.raises(ConnectionResetError):
                    slower.recv(1)
            eventually(lambda: len(detector.resting) == 1, "the silent one to rest")
            silent.sendall(REQUEST)
            assert silent.recv(100) == b"http1"
        assert server.accepted == 0
        for reason in ("bytes", "silence"):
            assert stage.metric(f"gossamer_detections_total{{protocol=unknown,reason={reason}}}") == 1


def test_a_flood_of_silent_clients_does_not_keep_others_out() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(Server(greet))
        stage = stack.enter_context(OpaqueStage([server.address], original=MYSQL))
        stage.sidecar.detector.limit = 10
        clients = [stack.enter_context(stage.connect()) for _ in range(30)]
        eventually(lambda: stage.metric("gossamer_detections_total{protocol=opaque,reason=pressure}") == 20, "pressure")
        assert read_exactly(clients[0], 6) == b"hello\n"
        with stage.connect() as honest:
            honest.sendall(REQUEST)
            assert honest.recv(100) == b"http1"
        stack.pop_all().close()


def test_a_kernel_that_wakes_for_nothing_does_not_make_it_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on kernels where SO_RCVLOWAT does not count for polling: here the option is set to what wakes always."""
    looks = 0
    with OpaqueStage([]) as stage:
        detector = stage.sidecar.detector
        judge: Callable[..., None] = detector._judge

        def undo(*args: object) -> None:
            judge(*args)
            args[0].sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)  # type: ignore[attr-defined]

        rest = detector._rest

        def count(one: object) -> None:
            nonlocal looks
            looks += 1
            rest(one)  # type: ignore[arg-type]

        monkeypatch.setattr(detector, "_judge", undo)
        monkeypatch.setattr(detector, "_rest", count)
        with stage.connect() as client:
            client.sendall(REQUEST[:10])
            time.sleep(0.3)
            monkeypatch.undo()
            client.sendall(REQUEST[10:])
            assert client.recv(100) == b"http1"
    assert 1 <= looks <= 10


def test_running_out_of_descriptors_is_survived() -> None:
    with Server(echo) as server, ExitStack() as stack:
        to = f"{server.address[0]}:{server.address[1]}"
        argv = [sys.executable, "-m", "tests.e2e.opaque_sidecar", "--listen", "127.0.0.1:0", "--to", to, "--opaque"]
        process = stack.enter_context(Process(argv))
        host, port = process.read_line().split(":")
        open_files = 40
        resource.prlimit(process.popen.pid, resource.RLIMIT_NOFILE, (open_files, open_files))
        crowd = [stack.enter_context(socket.create_connection((host, int(port)), 20)) for _ in range(60)]
        eventually(lambda: "no more connections are accepted" in process.stderr, "the complaint")
        time.sleep(0.5)
        for client in crowd:
            client.close()
        client = stack.enter_context(socket.create_connection((host, int(port)), 20))
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.stderr.count("\n") < 10, process.stderr
        assert process.popen.stdout is not None
        metrics = process.popen.stdout.read().decode()
        [failures] = [line.split()[1] for line in metrics.splitlines() if line.startswith("gossamer_accept_failures")]
        # Ten times a second at most: it rests in between.
        assert 1 <= float(failures) < 1_000


def test_original_destinations_of_both_families() -> None:
    assert parse_original(b"\2\0\x1f\x90\x0a\0\0\1" + bytes(8)) == ("10.0.0.1", 8080)
    raw = b"\x0a\0\x1f\x90" + bytes(4) + bytes.fromhex("fd00" + "00" * 13 + "01") + bytes(4)
    assert parse_original(raw) == ("fd00::1", 8080)


def test_the_kernel_s_word_on_original_destinations() -> None:
    """Real rules, in a network namespace: redirected connections of both families, and some that came to us."""
    lines = run_in_namespace("opaque_redirected.py")
    found = {tuple(line["wanted"]): line["original"] for line in map(json.loads, lines)}
    assert found == {
        ("10.1.2.3", 80): ["10.1.2.3", 80],
        ("fd00::5", 443): ["fd00::5", 443],
        ("127.0.0.1", 4140): None,
        ("::1", 4140): None,
        # Redirected to us and meant for us, by the pod's own address: for the loop protection to see.
        ("10.9.9.1", 4140): ["10.9.9.1", 4140],
    }
