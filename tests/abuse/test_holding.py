"""Attacks of a client by what it does not do: send on, read, open its windows, end its streams, go away."""

from __future__ import annotations

import json
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.abuse.attacker import Attacker, encode_block
from tests.abuse.evil import Evil, Victim
from tests.abuse.scene import Counts, Honest, Scene, report
from tests.e2e.processes import HOST, eventually, free_port
from tests.e2e.proxy_process import Proxy, command, write_config
from tests.e2e.test_streaming_limits import PeakMemory
from tests.e2e.wire import (
    CONTINUATION,
    DATA,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_WINDOW,
    PREFACE,
    WINDOW_UPDATE,
    Client,
    Server,
    encode_frame,
)

ENHANCE_YOUR_CALM = 11
GRPC_OK = b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x010"
# A message of grpc: `expand` answers with 256 KiB in pieces.
EXPAND = json.dumps([4, 65_536]).encode()
MESSAGE = b"\0" + len(EXPAND).to_bytes(4, "big") + EXPAND


def leave_a_frame_unfinished(victim: Victim) -> None:
    victim.open()
    victim.say(encode_frame(DATA, 0, 1, bytes(100))[:50])


def test_slow_loris(addresses: list[str], honest: Honest, tmp_path: Path) -> None:
    """A preface, a frame's head, a frame, a header block: begun, continued byte by byte, never ended.

    And an endpoint that does the same, since no other stream can be answered behind it.
    """
    drips = {
        "preface": iter(bytes((byte,)) for byte in PREFACE),
        "frame head": iter(bytes(8)[:1] for _ in range(8)),
        "frame": iter([encode_frame(DATA, 0, 1, bytes(16_384))[:9], *(b"\0" for _ in range(40))]),
        "header block": iter(
            [encode_frame(HEADERS, 0, 1, b"\x83"), *(encode_frame(CONTINUATION, 0, 1, b"\x86") for _ in range(40))]
        ),
    }
    with Evil(leave_a_frame_unfinished) as evil:
        clusters = {"good": addresses, "evil": [evil.address]}
        config = write_config(tmp_path / "proxy.yaml", f"{HOST}:{free_port()}", f"{HOST}:{free_port(4)}", clusters)
        with Proxy(config=config) as proxy:
            scene = Scene(proxy, honest)
            faults = drip(scene, drips)
            # The endpoint may have been dialled later than the clients came.
            eventually(lambda: ("upstream", "incomplete frame") in scene.count_faults(), "the endpoint's fault", 60)
            honest.ask("leave")
    assert faults["downstream", "incomplete frame"] == 120
    assert faults["downstream", "incomplete preface"] == 40


def drip(scene: Scene, drips: dict[str, Iterator[bytes]]) -> Counts:
    """Forty connections of each kind, a drip every half second, until all are ended."""
    with scene.attacked("slow loris, 40 of each kind") as faults, ExitStack() as stack:
        lorises = [
            (stack.enter_context(Attacker(scene.proxy.address, opens=kind != "preface")), kind)
            for kind in drips
            for _ in range(40)
        ]
        begun_s = time.monotonic()
        while not all(attacker.ended for attacker, _ in lorises):
            assert time.monotonic() - begun_s < 40
            said = {kind: next(drip, b"") for kind, drip in drips.items()}
            for attacker, kind in lorises:
                if not attacker.ended and said[kind]:
                    attacker.attempt(said[kind])
                attacker.hear(0)
            time.sleep(0.5)
        codes = {kind: attacker.goaway_code for attacker, kind in lorises}
    assert codes == dict.fromkeys(drips, ENHANCE_YOUR_CALM) | {"preface": None}
    return faults


@contextmanager
def many(scene: Scene, count: int, settings: dict[int, int]) -> Iterator[list[Attacker]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Attacker(scene.proxy.address, settings)) for _ in range(count)]


def ask_much(attacker: Attacker, streams: int) -> None:
    for _ in range(streams):
        frames = attacker.headers("expand", end=False)
        attacker.say(frames + encode_frame(DATA, 1, attacker.last_stream, MESSAGE), reads=False)


def test_windows_that_stay_shut(scene: Scene) -> None:
    """Three connections with 100 responses of 256 KiB each, none of which may be sent: a window a stream is held.

    So 300 streams hold 19 MiB, and what the allocator adds.
    """
    with scene.attacked("300 streams with zero windows", 40_000) as faults:
        with many(scene, 3, {INITIAL_WINDOW_SIZE: 0}) as attackers:
            for attacker in attackers:
                ask_much(attacker, 100)
            time.sleep(2.0)
            assert not any(attacker.ended for attacker in attackers)
    assert faults == {}


def test_windows_of_a_byte(scene: Scene) -> None:
    """Each update lets a single byte out, in a frame of its own."""
    with scene.attacked("windows of one byte") as faults:
        with Attacker(scene.proxy.address, {INITIAL_WINDOW_SIZE: 1}) as attacker:
            ask_much(attacker, 1)
            until_s = time.monotonic() + 1.5
            while time.monotonic() < until_s:
                sent = [frame for frame in attacker.hear(0.1) if frame.kind == DATA]
                assert all(len(frame.payload) == 1 for frame in sent)
                attacker.say(encode_frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1") * len(sent))
            assert len([frame for frame in attacker.frames if frame.kind == DATA]) > 10
    assert faults == {}


def test_responses_that_nobody_reads(scene: Scene) -> None:
    """Windows wide open, and a socket that is never read."""
    settings = {INITIAL_WINDOW_SIZE: MAX_WINDOW}
    with scene.attacked("300 streams, never read", 40_000) as faults, many(scene, 3, settings) as attackers:
        for attacker in attackers:
            attacker.say(encode_frame(WINDOW_UPDATE, 0, 0, (MAX_WINDOW - 65_535).to_bytes(4, "big")), reads=False)
            ask_much(attacker, 100)
        time.sleep(2.0)
    assert faults == {}


def test_what_waits_for_all_clients_together_is_bounded() -> None:
    """1,500 responses for which no window is opened, 64 KiB of each: 94 MiB, of which 64 MiB may stay."""
    with Server({MAX_CONCURRENT_STREAMS: 1_000}) as server, Proxy([server.address]) as proxy, ExitStack() as stack:
        with PeakMemory(proxy) as memory:
            clients = [stack.enter_context(Client(proxy.address, window=0)) for _ in range(15)]
            for client in clients:
                for _ in range(100):
                    client.request("/bytes/1000000")
            fault = 'reason="too much waits for it"} '
            eventually(lambda: fault in proxy.admin_request("/metrics")[1], "the greediest to be ended")
            with Client(proxy.address) as honest:
                assert len(honest.exchange("/bytes/1000000")[1]) == 1_000_000
        report({"attack": "1,500 streams with zero windows", "grown_kib": memory.grown_kib})
        assert memory.grown_kib < 140_000


def test_thousands_of_idle_connections(scene: Scene) -> None:
    with scene.attacked("2,000 idle connections", 12_000) as faults, ExitStack() as stack:
        attackers = [stack.enter_context(Attacker(scene.proxy.address)) for _ in range(2_000)]
        eventually(lambda: all(attacker.hear(0) or attacker.frames for attacker in attackers), "2,000 SETTINGS")
    assert faults == {}


@pytest.mark.parametrize("busy", [False, True])
def test_more_connections_than_descriptors(
    config: Path, honest: Honest, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """300 descriptors: 225 are for clients; the attacker's oldest go, the honest client and the admin port stay.

    Where all are busy, the newest go. Those who come when the 75 others are taken too, all within a moment, are closed
    by libuv (its way out of EMFILE), and nobody counts them: there are more or fewer of them, as the machine is fast.
    """
    limit = (
        "import os, resource as r, sys; r.setrlimit(r.RLIMIT_NOFILE, (300, 300)); os.execv(sys.argv[1], sys.argv[1:])"
    )
    monkeypatch.setenv("GOSSAMER_E2E_PROXY", shlex.join([sys.executable, "-c", limit, *command()]))
    with Proxy(config=config) as proxy:
        scene = Scene(proxy, honest)
        name = f"600 connections for 300 descriptors{', busy' * busy}"
        with scene.attacked(name) as faults, ExitStack() as stack:
            attackers = []
            for _ in range(600):
                attackers.append(stack.enter_context(Attacker(proxy.address)))
                if busy:
                    attackers[-1].attempt(attackers[-1].headers("wait"))
            eventually(lambda: sum(map(stays, attackers)) <= 225, "those to be ended for whom there is no room", 60)
            with socket.create_connection((HOST, proxy.admin_port)):
                assert proxy.admin_status("/ready") == 200
        honest.ask("leave")
    assert faults["downstream", "too many connections"] > 50, faults


def stays(attacker: Attacker) -> bool:
    attacker.hear(0)
    return not attacker.ended


def answer_what_is_complete(victim: Victim) -> None:
    """Ten streams at most; a request gets an answer once its client has said all of it."""
    victim.open({MAX_CONCURRENT_STREAMS: 10})
    for frame in victim.hear():
        if frame.kind == HEADERS and frame.flags & END_STREAM:
            victim.say(encode_block(frame.stream, GRPC_OK, end=True))


def test_requests_that_never_end_leave_room_for_others() -> None:
    """An endpoint takes 16 connections of 10 streams; 20 clients want 20 each, for ever (docs/decisions/0014)."""
    with Evil(answer_what_is_complete) as endpoint, Proxy([endpoint.address]) as proxy, ExitStack() as stack:
        attackers = [stack.enter_context(Attacker(proxy.address)) for _ in range(20)]
        for attacker in attackers:
            attacker.say(b"".join(attacker.headers("wait", end=False) for _ in range(20)))
        eventually(lambda: endpoint.dialled == 16, "all connections that an endpoint gets")
        with Attacker(proxy.address) as client:
            for _ in range(50):
                client.say(client.headers("unary"))
                while not (answers := [frame for frame in client.hear(0.1) if frame.kind == HEADERS]):
                    assert not client.ended
                assert answers[0].payload.endswith(GRPC_OK), answers[0].payload
            assert client.reset_codes == []
        assert 'gossamer_failures_total{reason="request-stalled"}' in proxy.admin_request("/metrics")[1]
        assert endpoint.dialled == 16
