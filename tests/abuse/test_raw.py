"""Attacks below HTTP, through interception: detection, raw TCP, and connections that lead back to the proxy."""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from contextlib import ExitStack

from mesh.contract import INBOUND_PORT, OUTBOUND_PORT
from proxy.net.shards import SHARDS
from tests.abuse.evil import Victim
from tests.abuse.pods import Pods, hear_all
from tests.cluster.netns import inside_network
from tests.e2e.processes import HOST, eventually
from tests.netns.network import Pod

RAW_PORT, SLOW_PORT, WORD_PORT, GONE_PORT = 9_300, 9_301, 9_302, 9_303
SILENT_PORTS = 9_304, 9_305
RELAYED_PORT, FLOOD_PORT = 9_306, 9_307
DETECTED = "gossamer_detections_total"


def count(pods: Pods, start: str) -> int:
    """The sum of all samples whose line begins like this."""
    lines = pods.sidecar.admin_request("/metrics")[1].splitlines()
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith(start))


def wait_for_few(pods: Pods) -> None:
    """Until the attackers' connections are gone."""
    name = 'tcp_open_connections{direction="inbound",peer="src"'
    eventually(lambda: count(pods, name) < 50, "them to be gone", 60)


def test_thousands_of_silent_connections(pods: Pods) -> None:
    """More than may be undecided at a time: the oldest are passed on at once, and the others after a second.

    Or refused, where the process has too few descriptors. They have a server of their own, which nobody has to run: the
    kernel completes its connections.
    """
    refused = ("downstream", "too many connections")
    name = f'{DETECTED}{{direction="inbound",protocol="opaque",reason='
    before = count(pods, name) + pods.count_faults().get(refused, 0)

    def treated() -> int:
        return count(pods, name) + pods.count_faults().get(refused, 0) - before

    with pods.attacked("5,000 silent connections", 32_768) as faults, ExitStack() as stack:
        from_ports = iter(range(10_000, 15_000))
        for port in SILENT_PORTS:
            stack.enter_context(pods.silent_endpoint(port))
            for _ in range(2_500):
                stack.enter_context(pods.connect(port, next(from_ports)))
        eventually(lambda: treated() >= 5_000, "all to be passed on, or refused", 60)
    assert set(faults) <= {refused}
    wait_for_few(pods)


def test_a_byte_a_moment(pods: Pods) -> None:
    """A ClientHello, a preface and a request line that never end: each byte is looked at, for a second at most."""
    words = {b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc\x03\x03": b"\x00", b"PRI * HTTP/2.0": b"", b"GET /": b"a"}
    received: list[bytes] = []

    def note(victim: Victim) -> None:
        received.append(victim.socket.recv(1 << 16))

    with pods.attacked("100 of each: a byte a moment", 8_192) as faults, ExitStack() as stack:
        stack.enter_context(pods.endpoint(WORD_PORT, note))
        slow = [(stack.enter_context(pods.connect(WORD_PORT)), *one) for one in words.items() for _ in range(100)]
        for sock, word, _ in slow:
            sock.sendall(word)
        until_s = time.monotonic() + 2.0
        while time.monotonic() < until_s:
            for sock, _, byte in slow:
                sock.sendall(byte)
            time.sleep(0.05)
        eventually(lambda: len(received) == len(slow), "all to be passed on")
    assert all(data.startswith(tuple(words)) for data in received)
    assert faults == {}


def pour_out(victim: Victim) -> None:
    """64 MiB, as fast as they are taken."""
    for _ in range(64):
        victim.say(bytes(1 << 20))


def test_raw_connections_that_never_read(pods: Pods) -> None:
    """100 downloads of 64 MiB: of each there is held what the kernel takes, and one turn."""
    with pods.endpoint(RAW_PORT, pour_out), pods.attacked("100 raw connections, never read", 24_576) as faults:
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(pods.connect(RAW_PORT)).sendall(b"\x00")
            time.sleep(1.5)
    assert faults == {}


def take_nothing(victim: Victim) -> None:
    victim.say(b"\x00")
    time.sleep(1.5)


def test_raw_servers_that_never_read(pods: Pods) -> None:
    """100 uploads, as much of each as is taken."""
    piece = bytes(1 << 18)
    with pods.endpoint(SLOW_PORT, take_nothing), pods.attacked("100 raw uploads, never read", 24_576) as faults:
        with ExitStack() as stack:
            socks = [stack.enter_context(pods.connect(SLOW_PORT)) for _ in range(100)]
            for sock in socks:
                sock.setblocking(False)
            until_s = time.monotonic() + 1.0
            while time.monotonic() < until_s:
                for sock in select.select([], socks, [], 0.1)[1]:
                    push(sock, piece)
    assert faults == {}


def push(sock: socket.socket, data: bytes) -> None:
    try:
        sock.send(data)
    except BlockingIOError:
        pass


def test_connections_that_come_and_go(pods: Pods) -> None:
    """Connect, and perhaps a byte, and away: 2,000 times; nothing of them stays."""
    with pods.silent_endpoint(GONE_PORT), pods.attacked("2,000 connections that go at once", 8_192) as faults:
        for number in range(2_000):
            with pods.connect(GONE_PORT) as sock:
                sock.sendall((b"", b"G", b"\x16\x03", b"\x00")[number % 4])
                if number % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
    assert faults == {}
    wait_for_few(pods)


def call_and_go(pod: Pod, address: tuple[str, int], for_s: float) -> int:
    """As many new connections as it can make; none is waited for, and each ends a moment later."""
    made, calling = 0, deque[socket.socket]()
    with inside_network(pod.pid), ExitStack() as stack:
        until_s = time.monotonic() + for_s
        while time.monotonic() < until_s:
            sock = socket.socket()
            stack.callback(sock.close)
            sock.setblocking(False)
            sock.connect_ex(address)
            calling.append(sock)
            made += 1
            if len(calling) > 1_000:
                calling.popleft().close()
    return made


def test_more_new_connections_than_can_be_accepted(pods: Pods) -> None:
    """From another pod: the kernel's queue for its part of the sources overflows, and that of the others does not."""
    flood = pods.network.add_pod("flood")
    assert (
        int(flood.addresses[4].rpartition(".")[2]) % SHARDS
        != int(pods.outside.addresses[4].rpartition(".")[2]) % SHARDS
    )
    with pods.silent_endpoint(FLOOD_PORT), pods.attacked("new connections as fast as can be", 16_384):
        made = call_and_go(flood, (pods.host, FLOOD_PORT), 3.0)
        assert made > 10_000
    wait_for_few(pods)


def test_loops(pods: Pods) -> None:
    """Who calls the proxy's own ports, from outside or from the pod itself, is led nowhere (DESIGN 3.5)."""
    before = pods.count_failures().get("loop", 0)
    ways = [
        (pods.outside, pods.host, INBOUND_PORT),
        (pods.server, HOST, OUTBOUND_PORT),
        (pods.server, HOST, INBOUND_PORT),
    ]
    ways.append((pods.server, pods.host, INBOUND_PORT))
    with pods.attacked("loops, 10 of each kind") as faults:
        for pod, host, port in ways:
            for _ in range(10):
                with pod.connect((host, port)) as sock:
                    assert hear_all(sock) in (b"", b"<reset>")
    assert faults == {}
    assert pods.count_failures()["loop"] == before + 10 * len(ways)


def test_a_request_that_goes_round(pods: Pods) -> None:
    """The application calls its own pod's inbound port in the name of another: the address decides."""
    before = pods.count_failures().get("loop", 0)
    with pods.attacked("requests to the proxy itself"):
        for _ in range(50):
            with pods.server.connect((pods.host, INBOUND_PORT)) as sock:
                try:
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: other\r\n\r\n")
                except OSError:
                    pass
                sock.shutdown(socket.SHUT_WR)
                assert hear_all(sock).startswith(b"HTTP/1.1 508 ")
    assert pods.count_failures()["loop"] == before + 50


def test_a_neighbour_who_sends_others_packets_here(pods: Pods) -> None:
    """To go to a third pod in the meshed one's name: only what is for this pod's own addresses is led on."""
    friend = pods.network.add_pod("friend")
    target = friend.addresses[4]
    before = pods.count_failures().get("loop", 0)
    pods.outside.configure(
        f"ip route add {pods.host}/32 dev eth0\nip route replace {target}/32 via {pods.host} dev eth0"
    )
    with friend.listen((target, RELAYED_PORT)) as listening:
        with pods.attacked("a neighbour's packets for a third pod"):
            for _ in range(10):
                with pods.outside.connect((target, RELAYED_PORT)) as sock:
                    sock.sendall(b"\x00word")
                    assert hear_all(sock) in (b"", b"<reset>")
        assert select.select([listening], [], [], 0)[0] == []
    assert pods.count_failures()["loop"] == before + 10
