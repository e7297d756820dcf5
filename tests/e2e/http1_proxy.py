"""A sidecar that speaks nothing but HTTP/1, composed for tests and measurements: one port, one cluster.

    python -m tests.e2e.http1_proxy --to 127.0.0.1:8001,127.0.0.1:8002 [--listen 127.0.0.1:0] [--timeout-s 5]

Prints one JSON line with its port. SIGTERM drains. Everything in it is the sidecar's own; only the wiring is here.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import signal
import sys
from time import monotonic
from typing import Any

import uvloop

if os.environ.get("GOSSAMER_PURE") == "1":
    from tests.forms import use_source

    use_source()

from proxy.balance.p2c import Balancer
from proxy.codec.h1_memo import HeadMemo
from proxy.metrics.registry import Registry
from proxy.net.adapter import ReadBuffer
from proxy.net.http1_adapter import flush_http1
from proxy.net.http1_listener import Http1Listener
from proxy.net.http1_pool import Http1Pool
from proxy.outbound import OutboundTally
from proxy.relay.cluster import Cluster
from proxy.relay.http1.link import replace_endpoints
from proxy.relay.relay import TICK_S, Relay
from proxy.route.model import Endpoint

_SWEEP_TICKS = 10
_DRAIN_S = 5.0


def parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def run(arguments: argparse.Namespace) -> None:
    now = monotonic()
    registry = Registry()
    cluster = Cluster("test", Balancer(), 3.0, now)
    relay = Relay(lambda authority, path: (cluster, arguments.timeout_s), random.random, OutboundTally(registry))
    memo = HeadMemo()
    buffer = ReadBuffer()
    tcp = registry.tcp((("direction", "outbound"),))
    pool = Http1Pool(relay, memo, buffer, tcp, 20.0)
    listener = Http1Listener(relay, memo, buffer, tcp, arguments.idle_timeout_s)
    targets = [Endpoint(*parse_address(text)) for text in arguments.to.split(",")]
    replace_endpoints(cluster, targets, pool.dial, 1.0, now)
    loop = asyncio.get_running_loop()
    accept: Any = listener.make_adapter
    server = await loop.create_server(accept, *parse_address(arguments.listen), backlog=1024)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    gc.freeze()
    clock = asyncio.create_task(sweep(relay, listener, pool))
    await ended.wait()
    await drain(listener, server)
    clock.cancel()
    pool.close()
    sys.stderr.buffer.write(registry.render())


async def sweep(relay: Relay, listener: Http1Listener, pool: Http1Pool) -> None:
    ticks = 0
    while True:
        await asyncio.sleep(TICK_S)
        ticks += 1
        now = monotonic()
        for exchange in relay.find_due(now):
            exchange.deadline_passed(now)
        pool.tick()
        if ticks % _SWEEP_TICKS == 0:
            await listener.sweep(now)
            await pool.sweep(now)
        flush_http1(relay.flushes)


async def drain(listener: Http1Listener, server: asyncio.Server) -> None:
    listener.drain(monotonic())
    server.close()
    for _tick in range(int(_DRAIN_S / TICK_S)):
        if listener.adapters:
            await asyncio.sleep(TICK_S)
    listener.abort_all()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--to", required=True)
    parser.add_argument("--timeout-s", type=float, default=0.0)
    parser.add_argument("--idle-timeout-s", type=float, default=3600.0)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
