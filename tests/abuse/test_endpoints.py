"""Attacks of an endpoint: what a malicious server can do to the proxy, to its clients, and to those of others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.abuse.attacker import Attacker, encode_block
from tests.abuse.evil import Deed, Evil, Victim
from tests.abuse.scene import Counts, Honest, Scene
from tests.e2e.processes import HOST, free_port
from tests.e2e.proxy_process import Proxy, write_config
from tests.e2e.wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    encode_frame,
)

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM = 1, 3, 7, 11
OK = b"\x88"
INTERIM = b"\x08\x03103"
GRPC = b"\x88\x0f\x10\x10application/grpc"
MAX_GROWN_KIB = 6_144


class Plot:
    """What came of it: the endpoint, the faults counted, and what its clients got."""

    def __init__(self, evil: Evil, faults: Counts) -> None:
        self.evil, self.faults = evil, faults
        self.faults_ever: Counts = {}  # with those of the dials that came before the attack
        self.answered = 0
        self.asked = 0

    def goaway_codes(self) -> set[int]:
        frames = [frame for victim in self.evil.victims for frame in victim.frames if frame.kind == GOAWAY]
        return {int.from_bytes(frame.payload[4:8], "big") for frame in frames}

    def reset_codes(self) -> set[int]:
        frames = [frame for victim in self.evil.victims for frame in victim.frames if frame.kind == RST_STREAM]
        return {int.from_bytes(frame.payload, "big") for frame in frames}


def carry_out(scene: Scene, name: str, evil: Evil, authority: str) -> Plot:
    """Twenty requests go to the malicious endpoint, for half a second."""
    with scene.attacked(f"endpoint: {name}", MAX_GROWN_KIB) as faults, Attacker(scene.proxy.address) as client:
        plot = Plot(evil, faults)
        until_s = time.monotonic() + 0.5
        while time.monotonic() < until_s:
            if plot.asked < 20:
                client.say(client.headers("unary", authority, end=False))
                plot.asked += 1
            client.hear(0.02)
        ended = {frame.stream for frame in client.frames if frame.kind in (HEADERS, DATA) and frame.flags & 1}
        ended |= {frame.stream for frame in client.frames if frame.kind == RST_STREAM}
        plot.answered = len(ended)
        assert not client.ended
    plot.faults_ever = scene.count_faults()
    return plot


@contextmanager
def beside(evils: dict[str, Evil], good: list[str], honest: Honest, folder: Path) -> Iterator[Scene]:
    """A proxy with a cluster, of its name, for each malicious endpoint; all else goes to the good ones."""
    clusters = {"good": good, **{name: [evil.address] for name, evil in evils.items()}}
    routes = "".join(f"  - match: {{authority: {name}}}\n    cluster: {name}\n" for name in evils)
    where = f"{HOST}:{free_port()}", f"{HOST}:{free_port(4)}"
    config = write_config(folder / "proxy.yaml", *where, clusters, routes + "  - cluster: good\n")
    with Proxy(config=config, until="/live") as proxy:
        yield Scene(proxy, honest)
        honest.ask("leave")


Plotter = Callable[[str, Deed], Plot]


@pytest.fixture
def plot(addresses: list[str], honest: Honest, tmp_path: Path) -> Plotter:
    """Carries a deed out on a proxy of its own."""

    def begin(name: str, deed: Deed) -> Plot:
        with Evil(deed) as evil, beside({"evil": evil}, addresses, honest, tmp_path) as scene:
            return carry_out(scene, name, evil, "evil")

    return begin


@pytest.fixture(scope="module")
def zoo(
    addresses: list[str], honest: Honest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Plot]]:
    """Carries out one of HOSTILE. They share a proxy, since each does nothing before it is asked."""
    with ExitStack() as stack:
        evils = {slug(name): stack.enter_context(Evil(deed)) for name, (deed, _, _) in HOSTILE.items()}
        scene = stack.enter_context(beside(evils, addresses, honest, tmp_path_factory.mktemp("zoo")))
        yield lambda name: carry_out(scene, name, evils[slug(name)], slug(name))


def slug(name: str) -> str:
    return "evil-" + "-".join(name.lower().replace("_", "-").split())


# ---- by what it says; each with the deed, the code that the endpoint is told, and the reason that is counted


def says(*answers: bytes, opening: dict[int, int] | None = None) -> Deed:
    """On each request, frames whose stream id is filled in."""

    def deed(victim: Victim) -> None:
        victim.open(opening)
        for stream in victim.hear_requests():
            for answer in answers:
                victim.say(answer.replace(b"\xaa\xaa\xaa\xaa", stream.to_bytes(4, "big")))

    return deed


S = 0xAAAAAAAA
BOMB = b"\x40\x04bomb\x7f" + b"\xbd\x1e" + b"b" * 4_028
HOSTILE: dict[str, tuple[Deed, int | None, str]] = {
    "1xx without an end": (says(encode_block(S, INTERIM, False) * 1_100), ENHANCE_YOUR_CALM, "interim responses flood"),
    "CONTINUATION without an end": (
        says(encode_frame(HEADERS, 0, S, OK), encode_frame(CONTINUATION, 0, S, b"") * 1_000),
        ENHANCE_YOUR_CALM,
        "header block too large",
    ),
    "HPACK bomb": (
        says(encode_block(S, GRPC + BOMB, False), encode_block(S, b"\xbe" * 15, True)),
        None,
        "trailers too large",
    ),
    "header block of 300 KB": (
        says(encode_block(S, GRPC + b"\x10\x01x\x7f\xbd\x1e" + bytes(300_000), True)),
        11,
        "header block too large",
    ),
    "trailers of 100 KB": (
        says(encode_block(S, GRPC, False), encode_block(S, (b"\x10\x01x\x7f\xbd\x1e" + b"x" * 4_028) * 25, True)),
        None,
        "trailers too large",
    ),
    "PING flood": (says(encode_frame(PING, 0, 0, bytes(8)) * 20_000), ENHANCE_YOUR_CALM, "frames that lead to nothing"),
    "SETTINGS flood": (says(encode_frame(SETTINGS) * 2_000), ENHANCE_YOUR_CALM, "SETTINGS flood"),
    "SETTINGS of 33 entries": (
        says(encode_frame(SETTINGS, 0, 0, b"\xf0\0\0\0\0\1" * 33)),
        ENHANCE_YOUR_CALM,
        "too many settings",
    ),
    "empty DATA": (
        says(encode_block(S, GRPC, False), encode_frame(DATA, 0, S) * 200),
        ENHANCE_YOUR_CALM,
        "empty frames flood",
    ),
    "WINDOW_UPDATE flood": (
        says(encode_frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 1_000),
        ENHANCE_YOUR_CALM,
        "WINDOW_UPDATE flood",
    ),
    "unknown frames": (says(encode_frame(0xBE, 0, 0) * 20_000), ENHANCE_YOUR_CALM, "frames that lead to nothing"),
    "PUSH_PROMISE": (
        says(encode_frame(PUSH_PROMISE, END_HEADERS, S, b"\0\0\0\2" + b"\x82\x86\x84\x01\x01x")),
        PROTOCOL_ERROR,
        "PUSH_PROMISE although push is off",
    ),
    "an answer twice": (
        says(encode_block(S, GRPC, False), encode_block(S, GRPC, False)),
        None,
        "trailers without END_STREAM",
    ),
    "a block that does not decode": (
        says(encode_block(S, b"\xff\xff\xff\xff\xff\xff", True)),
        9,
        "integer of too many octets",
    ),
    "a stream that nobody opened": (
        says(encode_block(S, GRPC, False), encode_frame(DATA, 0, 0x7F000001, b"x")),
        PROTOCOL_ERROR,
        "frame on an idle stream",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_endpoint(zoo: Callable[[str], Plot], name: str) -> None:
    _, code, reason = HOSTILE[name]
    plotted = zoo(name)
    assert plotted.faults["upstream", reason] >= 1
    assert {side for side, _ in plotted.faults} == {"upstream"}
    assert plotted.answered >= 1
    if code is not None:
        assert code in plotted.goaway_codes()
    assert plotted.evil.dialled < 40


def test_more_than_the_window(plot: Plotter) -> None:
    """Its clients' windows are full by then, so they hear of it only once they open them."""
    deed = says(encode_block(S, GRPC, False), *[encode_frame(DATA, 0, S, bytes(16_384))] * 80)
    plotted = plot("more than the stream's window", deed)
    assert plotted.faults["upstream", "stream window overrun"] >= 1
    assert FLOW_CONTROL_ERROR in plotted.reset_codes()


def test_an_answer_before_the_request(plot: Plotter) -> None:
    def deed(victim: Victim) -> None:
        victim.open()
        victim.say(encode_block(1, GRPC, True))

    plotted = plot("answers before it is asked", deed)
    assert plotted.goaway_codes() <= {PROTOCOL_ERROR}
    assert plotted.evil.dialled < 40


@pytest.mark.parametrize("code", [0, 1, REFUSED_STREAM, 8])
def test_everything_is_reset(plot: Plotter, code: int) -> None:
    plotted = plot(f"resets everything with {code}", says(encode_frame(RST_STREAM, 0, S, code.to_bytes(4, "big"))))
    assert plotted.faults == {}
    assert plotted.answered == plotted.asked
    assert plotted.evil.dialled <= 2


@pytest.mark.parametrize("last", [0, 2**31 - 1])
def test_goaway_at_once(plot: Plotter, last: int) -> None:
    """It would be dialled again at once, for ever: the dials back off."""

    def deed(victim: Victim) -> None:
        victim.open()
        victim.say(encode_frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + bytes(4)))
        victim.socket.close()

    plotted = plot(f"GOAWAY({last}) at once", deed)
    assert plotted.evil.dialled < 40


@pytest.mark.parametrize("opens", [False, True])
def test_silence(plot: Plotter, opens: bool) -> None:
    """Accepts and never says a word; or says its SETTINGS, and never answers."""

    def deed(victim: Victim) -> None:
        if opens:
            victim.open()

    plotted = plot("never answers" if opens else "never says SETTINGS", deed)
    assert plotted.evil.dialled < 10
    assert plotted.answered == 0


def test_no_streams_and_no_windows(plot: Plotter) -> None:
    def deed(victim: Victim) -> None:
        victim.open({MAX_CONCURRENT_STREAMS: 0, INITIAL_WINDOW_SIZE: 0})

    plotted = plot("allows no streams", deed)
    assert plotted.evil.dialled < 10


def test_it_speaks_something_else(plot: Plotter) -> None:
    def deed(victim: Victim) -> None:
        victim.say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n" * 100)

    plotted = plot("HTTP/1.1", deed)
    assert {side for side, _ in plotted.faults_ever} == {"upstream"}
    assert plotted.evil.dialled < 40


def test_acks_of_nothing(plot: Plotter) -> None:
    plotted = plot("SETTINGS ACK flood", says(encode_frame(SETTINGS, ACK) * 20_000))
    assert plotted.faults["upstream", "frames that lead to nothing"] >= 1
