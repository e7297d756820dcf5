"""Peers that are gone without a word are given up; those that are alive and do not read are waited for.

In a network namespace of its own, where packets can be dropped: real sockets, both versions of HTTP, both sides. The
same of raw TCP is in test_opaque.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.processes import HOST, eventually
from tests.e2e.proxy_process import ESCAPED, command, write_config
from tests.e2e.wire import (
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_STREAM,
    FRAME_BYTES,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    PREFACE,
    WINDOW_UPDATE,
    Peer,
    encode_settings,
)
from tests.netns.network import Namespace, require_namespaces

pytestmark = pytest.mark.timeout(60)

PORT, ADMIN, ENDPOINTS = 4140, 4191, {"down": 8001, "up": 8002}
SETTINGS = "settings:\n  upstream_user_timeout: 1s\n"
PAUSE_S = 4.0  # several times as long
BODY_BYTES = 16_000_000
TINY_BYTES = 8_000


class Site:
    """A proxy in a namespace, and the endpoints `down` and `up` of one protocol; a request has one as its authority."""

    def __init__(self, protocol: str, folder: Path) -> None:
        self.stack = ExitStack()
        self.network = Namespace()
        self.stack.callback(self.network.close)
        self.listening = {}
        for name, port in ENDPOINTS.items():
            sock = self.listening[name] = self.stack.enter_context(self.network.listen((HOST, port)))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_BYTES)
        clusters: dict[str, Sequence[str]] = {name: [f"{HOST}:{port}"] for name, port in ENDPOINTS.items()}
        routes = "".join(f"  - match: {{authority: {name}}}\n    cluster: {name}\n" for name in ENDPOINTS)
        where = f"{HOST}:{PORT}", f"{HOST}:{ADMIN}"
        config = write_config(folder / "proxy.yaml", *where, clusters, routes, f"    protocol: {protocol}\n")
        config.write_text(config.read_text() + SETTINGS)
        self.proxy = self.stack.enter_context(self.network.start([*command(), "--config", str(config)], 0, 0))
        eventually(lambda: "listening on" in self.proxy.stderr, "the proxy")

    def connect(self) -> socket.socket:
        """A client that has little room for what it does not read."""
        sock = self.stack.enter_context(self.network.open_socket(4))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_BYTES)
        sock.connect((HOST, PORT))
        return sock

    def accept(self, name: str) -> socket.socket:
        sock = self.stack.enter_context(self.listening[name].accept()[0])
        sock.settimeout(30)
        return sock

    def cut_off(self, sock: socket.socket) -> None:
        """From now on, whatever its two ends send each other is lost."""
        ends = sock.getsockname()[1], sock.getpeername()[1]
        for source, target in (ends, ends[::-1]):
            self.network.configure(f"iptables -w -A INPUT -p tcp --sport {source} --dport {target} -j DROP")

    def count_closed(self, peer: str, errno: str = "") -> float:
        """Connections that have ended; with that error, if one is given."""
        connection = HTTPConnection(HOST, ADMIN)
        connection.sock = self.network.connect((HOST, ADMIN))
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        wanted = f'peer="{peer}"', f'errno="{errno}'
        found = [line for line in lines if line.startswith("tcp_close_total{") and all(word in line for word in wanted)]
        return sum(float(line.split()[-1]) for line in found)

    def close(self) -> None:
        stderr = self.proxy.stderr
        self.stack.close()
        for sign in (*ESCAPED, "bug:"):
            assert sign not in stderr, stderr


class Http1Pair:
    """A client and the endpoint that has got its request, all but the body of so many bytes."""

    def __init__(self, site: Site, name: str, size: int = 0) -> None:
        self.client = site.connect()
        self.client.sendall(b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n" % (name.encode(), size))
        self.endpoint = site.accept(name)
        read_head(self.endpoint)

    def send_body(self, size: int) -> None:
        self.client.sendall(bytes(size))

    def receive_body(self, size: int) -> None:
        receive(self.endpoint, size)

    def answer(self, size: int) -> None:
        self.endpoint.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))

    def receive_answer(self, size: int) -> None:
        assert read_head(self.client).startswith(b"HTTP/1.1 200 ")
        receive(self.client, size)


class Http2Pair:
    """The same with frames, and windows that are wide open: what is not read shuts the connection's own."""

    def __init__(self, site: Site, name: str, size: int = 0) -> None:
        self.endpoint = site.accept(name)
        receive(self.endpoint, len(PREFACE))
        self.served = Peer(self.endpoint)
        self.endpoint.sendall(encode_settings({INITIAL_WINDOW_SIZE: MAX_WINDOW}))
        self.served.credit(0, MAX_WINDOW - DEFAULT_WINDOW)
        self.client = site.connect()
        self.client.sendall(PREFACE + encode_settings({ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: MAX_WINDOW}))
        self.calling = Peer(self.client)
        self.calling.credit(0, MAX_WINDOW - DEFAULT_WINDOW)
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", name)]
        self.calling.send_headers(1, fields, end=not size)
        while (frame := self.served.receive()) is not None and frame.kind != HEADERS:
            continue

    def send_body(self, size: int) -> None:
        send_data(self.calling, size)

    def receive_body(self, size: int) -> None:
        assert receive_data(self.served) == size

    def answer(self, size: int) -> None:
        self.served.send_headers(1, [(":status", "200")])
        send_data(self.served, size)

    def receive_answer(self, size: int) -> None:
        assert receive_data(self.calling) == size


PAIRS: dict[str, Callable[..., Http1Pair | Http2Pair]] = {"http": Http1Pair, "http2": Http2Pair}


def read_head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, head
        head += byte
    return head


def receive(sock: socket.socket, size: int) -> None:
    while size:
        data = sock.recv(min(size, 1 << 16))
        assert data, f"it ended {size} bytes too early"
        size -= len(data)


def send_data(peer: Peer, size: int) -> None:
    """The body of stream 1, the only one, as far as its window allows, and on as it opens."""
    window = DEFAULT_WINDOW
    while size:
        room = min(size, FRAME_BYTES, window)
        if room:
            size -= room
            window -= room
            peer.send(DATA, 0 if size else END_STREAM, 1, bytes(room))
            continue
        frame = peer.receive()
        assert frame is not None, f"it ended {size} bytes too early"
        if frame.kind == WINDOW_UPDATE and frame.stream:
            window += int.from_bytes(frame.payload, "big")


def receive_data(peer: Peer) -> int:
    """The bytes of a body, to its end."""
    size = 0
    while (frame := peer.receive()) is not None:
        if frame.kind == DATA:
            size += len(frame.payload)
            if frame.flags & END_STREAM:
                return size
    return -1


@pytest.fixture(params=PAIRS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(protocol: str, tmp_path: Path) -> Iterator[Site]:
    require_namespaces()
    made = Site(protocol, tmp_path)
    yield made
    made.close()


def test_who_is_gone_is_given_up(site: Site, protocol: str) -> None:
    """Neither a reset nor an end comes: a client that is owed its answer, and an endpoint a part of its request."""
    down, up = PAIRS[protocol](site, "down"), PAIRS[protocol](site, "up", 10)
    site.cut_off(down.client)
    down.answer(10)
    site.cut_off(up.endpoint)
    up.send_body(10)
    eventually(lambda: site.count_closed("src", "ETIMEDOUT") == 1, "the end of the client", 40)
    eventually(lambda: site.count_closed("dst", "ETIMEDOUT") == 1, "the end of the endpoint", 40)


def test_who_does_not_read_for_a_while_is_waited_for(site: Site, protocol: str) -> None:
    """A client in the middle of its answer, and an endpoint in the middle of a request."""
    down, up = PAIRS[protocol](site, "down"), PAIRS[protocol](site, "up", BODY_BYTES)
    threads = [threading.Thread(target=down.answer, args=(BODY_BYTES,))]
    threads += [threading.Thread(target=up.send_body, args=(BODY_BYTES,))]
    for thread in threads:
        thread.start()
    time.sleep(PAUSE_S)
    assert all(thread.is_alive() for thread in threads), "nothing is left to be sent"
    down.receive_answer(BODY_BYTES)
    up.receive_body(BODY_BYTES)
    for thread in threads:
        thread.join(30)
    up.answer(10)
    up.receive_answer(10)
    assert site.count_closed("src", "E") == site.count_closed("dst", "E") == 0
