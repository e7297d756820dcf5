"""A bounded, seeded fuzz of HTTP/1: of the readers, and of whole conversations through the relay.

No exception leaves `feed`, no chunking changes what is read, and after each conversation all books are even. For more,
`GOSSAMER_FUZZ_RUNS=100000`; a find is named by its number, which is its seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.fuzz.h1_parsers import parse_h1_requests, parse_h1_responses
from tests.fuzz.parsers import read_seeds
from tests.playbook.h1_stage import Stage
from tests.playbook.mutation import mutate
from tests.properties.test_h1_properties import FRAGMENTS, GOOD_REQUESTS, cut, requests_in, responses_in

RUNS = int(os.environ.get("GOSSAMER_FUZZ_RUNS", "150"))
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5  \r\nhello\r\n0 \r\nT: 1\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
]
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def invent(parts: list[bytes], rng: random.Random) -> bytes:
    data = b"".join(rng.choice(parts if rng.random() < 0.7 else FRAGMENTS) for _ in range(rng.randint(1, 5)))
    return mutate(data, rng) if data and rng.random() < 0.6 else data


@pytest.mark.parametrize(("parse", "name"), [(parse_h1_requests, "h1_requests"), (parse_h1_responses, "h1_responses")])
def test_seeds(parse: Callable[[bytes], Any], name: str) -> None:
    seeds = read_seeds(name)
    assert len({repr(parse(seed)) for seed in seeds}) > len(seeds) // 2


def test_readers() -> None:
    for run in range(RUNS * 20):
        rng = random.Random(f"readers {run}")
        request = invent([*GOOD_REQUESTS, UPGRADE], rng)
        response = invent(RESPONSES, rng)
        cuts = [rng.randrange(1_000) for _ in range(rng.randint(0, 6))]
        assert requests_in([request]) == requests_in(cut(request, cuts)), run
        assert responses_in([response], False) == responses_in(cut(response, cuts), False), run


def converse(rng: random.Random) -> None:
    stage = Stage(count=rng.randint(1, 3), timeout_s=rng.choice([0.0, 1.0]), dials=rng.random() < 0.7)
    clients = [stage.client() for _ in range(rng.randint(1, 3))]
    for _ in range(rng.randint(1, 30)):
        act = rng.randrange(9)
        wires = [wire for wire in clients + stage.ups if not wire.shut]
        wire = rng.choice(wires) if wires else stage.client()
        if act < 4 and wire.reading:
            wire.send(invent([*GOOD_REQUESTS, UPGRADE] if wire in clients else RESPONSES, rng))
        elif act == 4 and wire.reading and not wire.conn.ended:
            wire.end()
        elif act == 5:
            wire.lose()
            wire.shut = True
        elif act == 6:
            (wire.unblock if wire.conn.blocked else wire.block)()
        elif act == 7:
            stage.wait(rng.choice([0.1, 1.5, 4.0]))
        elif stage.dialled:
            link = stage.dialled.pop()
            (stage.refuse if rng.random() < 0.4 else stage.connect)(link)
    while stage.dialled:
        stage.connect(stage.dialled.pop())
    stage.finish()


def test_conversations() -> None:
    for run in range(RUNS * 4):
        try:
            converse(random.Random(f"conversation {run}"))
        except Exception as bug:
            raise AssertionError(f"conversation {run}") from bug
