"""A bounded, seeded fuzz of detection: no exception, no disagreement between two looks, no wait for nothing.

For more, `GOSSAMER_FUZZ_RUNS=1000000`; a find is named by its run, which is its seed.
"""

from __future__ import annotations

import os
import random

from tests.properties.test_detect_properties import PREFACE, check, mutate
from tests.unit.proxy.codec.hellos import alpn, body, extension, handshake, make_hello, records, server_name

RUNS = 20 * int(os.environ.get("GOSSAMER_FUZZ_RUNS", "150"))
CORPUS = (
    PREFACE,
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\n\r\n",
    b"GET /" + b"a" * 2_040 + b" HTTP/1.1\r\n",
    make_hello(),
    records(handshake(body(server_name(b"a.b"), alpn(b"h2", b"http/1.1"))), 1, 1, 1, 1, 10, 50),
    records(handshake(body(extension(21, bytes(16_000)))), 9_000),
    b"*1\r\n$4\r\nPING\r\n",
)


def test_fuzz() -> None:
    for run in range(RUNS):
        rng = random.Random(run)
        data = rng.choice(CORPUS)
        for _ in range(rng.randint(1, 4)):
            data = mutate(data[: rng.choice((len(data), rng.randint(0, len(data))))], rng)
            if rng.random() < 0.2:
                data += rng.choice(CORPUS)
        try:
            check(data)
        except Exception as bug:
            raise AssertionError(f"run {run}: {data[:100]!r}") from bug
