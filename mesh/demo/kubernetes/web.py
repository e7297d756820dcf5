"""The pod `web`: the visitors of the local demo, through channels as every application makes them.

What it saw goes to its log, in the lines of `mesh.demo.front`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import suppress

import grpc.aio

from mesh.demo.application import SERVICES
from mesh.demo.front import Front

CONNECT_TIMEOUT_S = 60.0
FOR_EVER_S = 1e9


async def connect(channels: list[grpc.aio.Channel]) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await asyncio.gather(*(channel.channel_ready() for channel in channels))
    except TimeoutError:
        sys.exit(f"no connection to {' and '.join(SERVICES)} within {CONNECT_TIMEOUT_S:g} s")


async def visit(emoji: str, voting: str, rate: float, warm_up_s: float, duration_s: float) -> None:
    visiting = asyncio.current_task()
    assert visiting is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, visiting.cancel)
    async with grpc.aio.insecure_channel(emoji) as finding, grpc.aio.insecure_channel(voting) as deciding:
        await connect([finding, deciding])
        await Front(finding, deciding).load(rate, warm_up_s, duration_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emoji", required=True, metavar="TARGET")
    parser.add_argument("--voting", required=True, metavar="TARGET")
    parser.add_argument("--rate", type=float, required=True, help="visitors per second")
    parser.add_argument("--warm-up", type=float, default=0.0, help="seconds that are not reported")
    parser.add_argument("--duration", type=float, default=FOR_EVER_S, help="seconds (default: for ever)")
    options = parser.parse_args()
    with suppress(asyncio.CancelledError):
        asyncio.run(visit(options.emoji, options.voting, options.rate, options.warm_up, options.duration))


if __name__ == "__main__":
    main()
