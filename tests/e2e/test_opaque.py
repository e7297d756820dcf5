"""Raw TCP through the sidecar, with real sockets: every byte, both ends, and the way each connection ends."""

from __future__ import annotations

import errno
import gc
import random
import select
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from proxy.codec.detect import OPAQUE
from proxy.net.opaque_connection import OpaqueConnection
from proxy.net.opaque_flow import Flow
from proxy.route.hints import Expectation
from proxy.route.model import Endpoint
from tests.e2e.opaque_stage import (
    OpaqueStage,
    Server,
    echo,
    read_exactly,
    read_to_end,
    reset,
    run_in_namespace,
    unused_address,
)
from tests.e2e.processes import eventually

KNOWN = Expectation(OPAQUE)


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_echo(has_uvloop: bool) -> None:
    with Server(echo) as server, OpaqueStage([server.address], expectation=KNOWN, has_uvloop=has_uvloop) as stage:
        with stage.connect() as client:
            for size in (1, 10, 100_000):
                client.sendall(b"x" * size)
                assert read_exactly(client, size) == b"x" * size
        stage.wait_idle()
        assert stage.metric("tcp_open_total{peer=src}") == stage.metric("tcp_open_total{peer=dst}") == 1
        assert stage.metric("tcp_close_total{errno=,peer=src}") == 1
        assert stage.metric("tcp_close_total{errno=,peer=dst}") == 1
        for peer in ("src", "dst"):
            assert stage.metric(f"tcp_read_bytes_total{{peer={peer}}}") == 100_011
            assert stage.metric(f"tcp_write_bytes_total{{peer={peer}}}") == 100_011
        assert server.errors == []


def send_pieces(sock: socket.socket, data: bytes, seed: int) -> None:
    """In pieces of any size, with rests between some of them, and the end."""
    rng = random.Random(seed)
    view = memoryview(data)
    while view:
        size = int(2 ** rng.uniform(0, 20))
        sock.sendall(view[:size])
        view = view[size:]
        if rng.random() < 0.02:
            time.sleep(0.002)
    sock.shutdown(socket.SHUT_WR)


def read_pieces(sock: socket.socket, seed: int) -> bytes:
    rng = random.Random(seed)
    pieces = []
    while data := sock.recv(int(2 ** rng.uniform(4, 20))):
        pieces.append(data)
        if rng.random() < 0.02:
            time.sleep(0.002)
    return b"".join(pieces)


@pytest.mark.parametrize("max_pipes", [100, 1, 0])
@pytest.mark.parametrize("has_uvloop", [True, False])
def test_any_chunking_arrives_as_it_was_sent(max_pipes: int, has_uvloop: bool) -> None:
    """Both ways at once, several connections; with pipes for all, for one, for none."""
    up = [random.Random(seed).randbytes(4_000_000) for seed in range(4)]
    down = [random.Random(-1 - seed).randbytes(4_000_000) for seed in range(4)]
    received = {}

    def serve(sock: socket.socket) -> None:
        number = sock.recv(1)[0]
        sender = threading.Thread(target=send_pieces, args=(sock, down[number], number))
        sender.start()
        received[number] = read_pieces(sock, number)
        sender.join()

    def visit(number: int) -> None:
        with stage.connect() as client:
            client.sendall(bytes([number]))
            sender = threading.Thread(target=send_pieces, args=(client, up[number], number + 100))
            sender.start()
            answers[number] = read_pieces(client, number + 100)
            sender.join()

    answers: dict[int, bytes] = {}
    with Server(serve) as server, OpaqueStage([server.address], expectation=KNOWN, has_uvloop=has_uvloop) as stage:
        stage.sidecar.relay.pipes.limit = max_pipes
        clients = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        stage.wait_idle()
        assert server.errors == []
        pipes = stage.sidecar.relay.pipes
        assert (pipes.open > 0) == (max_pipes > 0)
        assert (pipes.refusals > 0) == (max_pipes < 4)
    for number in range(4):
        assert received[number] == up[number]
        assert answers[number] == down[number]


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_half_closes_pass_both_ways(has_uvloop: bool) -> None:
    def answer_after_end(sock: socket.socket) -> None:
        sock.sendall(str(len(read_to_end(sock))).encode())

    def end_first(sock: socket.socket) -> None:
        sock.sendall(b"bye")
        sock.shutdown(socket.SHUT_WR)
        heard.append(read_to_end(sock))

    heard: list[bytes] = []
    with Server(answer_after_end) as server, OpaqueStage([server.address], expectation=KNOWN) as stage:
        with stage.connect() as client:
            client.sendall(b"12345")
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == b"5"
        stage.wait_idle()
    with Server(end_first) as server, OpaqueStage([server.address], expectation=KNOWN, has_uvloop=has_uvloop) as stage:
        with stage.connect() as client:
            assert read_to_end(client) == b"bye"
            client.sendall(b"still here")
        stage.wait_idle()
    assert heard == [b"still here"]


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_resets_pass_both_ways(has_uvloop: bool) -> None:
    def wait_for_reset(sock: socket.socket) -> None:
        sock.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            read_to_end(sock)
        reset_seen.set()

    def give_up(sock: socket.socket) -> None:
        sock.recv(5)
        reset(sock)

    reset_seen = threading.Event()
    with (
        Server(wait_for_reset) as server,
        OpaqueStage([server.address], expectation=KNOWN, has_uvloop=has_uvloop) as stage,
    ):
        client = stage.connect()
        read_exactly(client, 5)
        reset(client)
        assert reset_seen.wait(20)
        stage.wait_idle()
        assert stage.metric("tcp_close_total{errno=ECONNRESET,peer=src}") == 1
        assert server.errors == []
    with Server(give_up) as server, OpaqueStage([server.address], expectation=KNOWN, has_uvloop=has_uvloop) as stage:
        with stage.connect() as client:
            client.sendall(b"hello")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        stage.wait_idle()
        assert stage.metric("tcp_close_total{errno=ECONNRESET,peer=dst}") == 1


def cut(sock: socket.socket, cuts: threading.Event) -> None:
    """Say that there is no more to come, and then that nobody listens either."""
    sock.shutdown(socket.SHUT_WR)
    assert cuts.wait(20)
    reset(sock)


def notice_cut(sock: socket.socket, cuts: threading.Event) -> bool:
    """Whether a reset comes after the end."""
    assert read_to_end(sock) == b""
    watch = select.poll()
    watch.register(sock, select.POLLHUP | select.POLLERR)
    assert watch.poll(0) == []
    cuts.set()
    return bool(watch.poll(20_000))


@pytest.mark.parametrize("is_client", [True, False])
def test_a_reset_passes_after_an_end(is_client: bool) -> None:
    cuts = threading.Event()
    has_noticed: list[bool] = []

    def serve(sock: socket.socket) -> None:
        if is_client:
            has_noticed.append(notice_cut(sock, cuts))
        else:
            cut(sock, cuts)

    with Server(serve) as server, OpaqueStage([server.address], expectation=KNOWN) as stage:
        with stage.connect() as client:
            if is_client:
                cut(client, cuts)
            else:
                has_noticed.append(notice_cut(client, cuts))
            eventually(lambda: len(has_noticed) == 1, "the reset")
        stage.wait_idle()
        assert has_noticed == [True]
        assert stage.metric(f"tcp_close_total{{errno=ECONNRESET,peer={'src' if is_client else 'dst'}}}") == 1
        assert server.errors == []


def test_a_reset_while_data_waits_for_the_client() -> None:
    """The client does not read, the proxy holds bytes for it and has stopped to look at the server."""

    def pour(sock: socket.socket) -> None:
        sock.settimeout(0.5)
        try:
            while True:
                sock.sendall(bytes(100_000))
        except TimeoutError:
            reset(sock)
            has_reset.set()

    has_reset = threading.Event()
    with Server(pour) as server, OpaqueStage([server.address], expectation=KNOWN) as stage:
        with stage.connect() as client:
            assert has_reset.wait(20)
            with pytest.raises(ConnectionResetError):
                read_to_end(client)
        stage.wait_idle()


def send_for_ever(sock: socket.socket) -> None:
    while True:
        sock.sendall(bytes(100_000))


def test_a_client_that_leaves_while_its_answer_waits() -> None:
    def pour(sock: socket.socket) -> None:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_for_ever(sock)

    with Server(pour) as server, OpaqueStage([server.address], expectation=KNOWN) as stage:
        client = stage.connect()
        client.recv(1)
        client.close()
        stage.wait_idle()
        assert server.errors == []


def expect_reset(stage: OpaqueStage) -> None:
    """A connection that leads nowhere; the reset may come before its client has looked."""
    with socket.socket() as client:
        client.settimeout(20)
        number = client.connect_ex(stage.address) or wait_for_error(client)
    assert number == errno.ECONNRESET


def wait_for_error(sock: socket.socket) -> int:
    try:
        data = sock.recv(1)
    except OSError as error:
        return error.errno or 0
    raise AssertionError(f"received {data!r}")


def test_connections_go_where_they_are_accepted() -> None:
    dead = [unused_address(), unused_address()]
    with Server(echo) as server, OpaqueStage([*dead, server.address], expectation=KNOWN) as stage:
        for _ in range(20):
            with stage.connect() as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
        stage.wait_idle()
        assert server.accepted == 20
        assert stage.metric("gossamer_connect_failures_total{errno=ECONNREFUSED}") >= 2
        assert stage.metric("tcp_open_total{peer=dst}") == 20


def test_at_most_three_endpoints_are_tried() -> None:
    with OpaqueStage([unused_address() for _ in range(5)], expectation=KNOWN) as stage:
        expect_reset(stage)
        stage.wait_idle()
        assert stage.metric("gossamer_connect_failures_total{errno=ECONNREFUSED}") == 3
        assert stage.metric("gossamer_failures_total{reason=connect-failed}") == 1
        assert stage.metric("tcp_close_total{errno=ECONNREFUSED,peer=src}") == 1


def test_an_endpoint_that_does_not_answer_is_given_up() -> None:
    """A listener with a full backlog drops connects; the next endpoint gets the connection."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        server = stack.enter_context(Server(echo))
        stage = stack.enter_context(OpaqueStage([full.getsockname()], expectation=KNOWN))
        time.sleep(0.05)
        with stage.connect() as client:
            eventually(lambda: stage.open_connections() == 1, "the connection")
            host, port = full.getsockname()
            stage.call(lambda: stage.sidecar.cluster.replace([Endpoint(host, port), Endpoint(*server.address)]))
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert stage.metric("gossamer_connect_failures_total{errno=ETIMEDOUT}") == 1


def test_connections_spread_by_how_many_are_open() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(echo)) for _ in range(3)]
        stage = stack.enter_context(OpaqueStage([server.address for server in servers], expectation=KNOWN))
        for _ in range(60):
            client = stack.enter_context(stage.connect())
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert all(12 <= server.accepted <= 28 for server in servers), [server.accepted for server in servers]
        assert sum(endpoint.pending for endpoint in stage.sidecar.cluster.balancer.endpoints) == 60
        stack.pop_all().close()


def test_a_connection_waits_for_an_endpoint_but_not_for_ever() -> None:
    with Server(echo) as server, OpaqueStage([], expectation=KNOWN) as stage:
        with stage.connect() as client:
            client.sendall(b"x")
            eventually(lambda: stage.open_connections() == 1, "the connection")
            stage.call(lambda: stage.sidecar.cluster.replace([Endpoint(*server.address)]))
            assert client.recv(1) == b"x"
        stage.sidecar.cluster.failfast_s = 0.1
        stage.call(lambda: stage.sidecar.cluster.replace([]))
        expect_reset(stage)
        assert stage.metric("gossamer_failures_total{reason=no-endpoint}") == 1


def test_it_never_connects_to_itself() -> None:
    with OpaqueStage([], expectation=KNOWN) as stage:
        host, port = stage.address
        stage.call(lambda: stage.sidecar.cluster.replace([Endpoint(host, port)]))
        expect_reset(stage)
        stage.wait_idle()
        assert stage.metric("gossamer_failures_total{reason=loop}") == 1
        assert stage.metric("tcp_open_total{peer=src}") == 1


def test_an_idle_connection_is_ended_and_a_busy_one_is_not() -> None:
    with Server(echo) as server, OpaqueStage([server.address], expectation=KNOWN) as stage:
        stage.sidecar.relay.idle_timeout_s = 0.5
        stage.sidecar.relay.next_look_s = 0.0
        with stage.connect() as busy, stage.connect() as idle:
            idle.sendall(b"x")
            assert idle.recv(1) == b"x"
            idle.setblocking(False)
            while stage.open_connections() == 2:
                busy.sendall(b"x")
                assert busy.recv(1) == b"x"
                time.sleep(0.01)
            with pytest.raises(ConnectionResetError):
                idle.recv(1)
            busy.sendall(b"x")
            assert busy.recv(1) == b"x"
        assert stage.metric("tcp_close_total{errno=ETIMEDOUT,peer=src}") == 1


@pytest.mark.parametrize("amount", [500_000, 20_000_000])
def test_a_peer_that_does_not_read_for_a_while_keeps_its_connection(amount: int) -> None:
    """For longer than TCP_USER_TIMEOUT, which would end it; with all of it in the kernel's buffers, or with more."""
    with (
        Server(lambda sock: sock.sendall(bytes(amount))) as server,
        OpaqueStage([server.address], expectation=KNOWN, user_timeout_s=1.0) as stage,
    ):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
            client.connect(stage.address)
            time.sleep(2.5)
            assert len(read_to_end(client)) == amount
        stage.wait_idle()


@pytest.mark.parametrize("is_owed", [True, False])
def test_a_peer_that_is_gone_without_a_word_is_found(is_owed: bool) -> None:
    """Its packets are dropped from one moment on, in a network namespace: with bytes on their way to it, or idle."""
    assert run_in_namespace("opaque_dead_peer.py", "owed" if is_owed else "idle") == ["ETIMEDOUT"]


def test_a_drain_waits_and_then_resets() -> None:
    with Server(echo) as server, OpaqueStage([server.address], expectation=KNOWN) as stage:
        client = stage.connect()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert stage.wait(stage.sidecar.relay.drain(0.2)) is False
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        client.close()
        stage.wait_idle()
        client = stage.connect()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        threading.Timer(0.2, client.close).start()
        assert stage.wait(stage.sidecar.relay.drain(20.0)) is True


def test_a_backlog_is_accepted_before_the_listener_closes() -> None:
    with Server(echo) as server, OpaqueStage([server.address], expectation=KNOWN) as stage:
        closing = stage.sidecar.acceptor.close()
        with stage.connect() as client:
            stage.wait(closing)
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        with pytest.raises(ConnectionRefusedError):
            stage.connect()


def test_what_is_over_is_freed_without_the_garbage_collector() -> None:
    def count() -> int:
        return sum(type(thing) in (OpaqueConnection, Flow) for thing in gc.get_objects())

    with Server(echo) as server, OpaqueStage([server.address], expectation=KNOWN) as stage:
        gc.collect()
        before = count()
        gc.disable()
        try:
            for way in ("end", "reset"):
                for _ in range(20):
                    with stage.connect() as client:
                        client.sendall(b"x")
                        assert client.recv(1) == b"x"
                        if way == "reset":
                            reset(client)
            stage.wait_idle()
            assert stage.call(count) == before
        finally:
            gc.enable()


def test_ipv6() -> None:
    with Server(echo, "::1") as server, OpaqueStage([server.address], expectation=KNOWN, host="::1") as stage:
        with stage.connect() as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        stage.wait_idle()
