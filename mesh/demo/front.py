"""The web front: the client of `emoji` and `voting`, with visitors who come at a steady rate.

A visitor looks an emoji up and votes for it. Visitors come by the clock, whether or not the ones before have their
answer (an open loop), so that a slow pod cannot slow the load down. The code is the same in both modes: only the
addresses behind a service's name differ, the replicas' or the sidecar's.

On stdout it reports one JSON object a line: `{"started": T}`, then every half second `{"calls": [[path, pod or null,
grpc code, start, latency], ...]}`, in seconds of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from mesh.demo import messages
from mesh.demo.application import EMOJI, EMOJIS, POD_HEADER, SERVICES, VOTING, Service

REPORT_EVERY_S = 0.5
CALL_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 15.0

Stub = Callable[..., Any]


def dial(service: Service, addresses: list[str]) -> grpc.aio.Channel:
    """A plain channel as every application has it: grpc's default, pick_first, keeps ONE connection, to one address.

    Kubernetes decides which pod that connection gets: kube-proxy draws one per connection for a ClusterIP, the DNS
    shuffles the addresses of a headless Service. Shuffling here is both.
    """
    random.shuffle(addresses)
    options = (
        ("grpc.default_authority", service.authority),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    )
    return grpc.aio.insecure_channel("ipv4:" + ",".join(addresses), options=options)


class Front:
    """The visitors of one mode, and what they saw since the last report."""

    def __init__(self, emoji: grpc.aio.Channel, voting: grpc.aio.Channel) -> None:
        self._find = emoji.unary_unary(
            EMOJI.path("FindByShortcode"),
            request_serializer=messages.FindByShortcodeRequest.SerializeToString,
            response_deserializer=messages.Emoji.FromString,
        )
        self._vote: dict[str, Stub] = {
            name: voting.unary_unary(
                VOTING.path(f"Vote{name}"),
                request_serializer=messages.VoteRequest.SerializeToString,
                response_deserializer=messages.VoteResponse.FromString,
            )
            for name in EMOJIS
        }
        self._calls: list[tuple[str, str | None, str, float, float]] = []
        self._measuring = False

    async def visit(self, shortcode: str) -> None:
        request = messages.FindByShortcodeRequest(shortcode=shortcode)
        vote = messages.VoteRequest(shortcode=shortcode)
        await self._measure(EMOJI.path("FindByShortcode"), self._find, request)
        await self._measure(VOTING.path(f"Vote{shortcode}"), self._vote[shortcode], vote)

    async def _measure(self, path: str, stub: Stub, request: Any) -> None:
        measured = self._measuring
        started_s = time.monotonic()
        call = stub(request, timeout=CALL_TIMEOUT_S)
        try:
            await call
            code, metadata = "OK", await call.initial_metadata()
        except grpc.aio.AioRpcError as error:
            code, metadata = error.code().name, error.initial_metadata()
        if measured:
            pod = dict(metadata).get(POD_HEADER)
            self._calls.append((path, str(pod) if pod else None, code, started_s, time.monotonic() - started_s))

    async def load(self, rate: float, warm_up_s: float, duration_s: float) -> None:
        """Send the visitors; those of the warm-up, when connections are made and estimates settle, are not measured."""
        loop = asyncio.get_running_loop()
        reports = asyncio.create_task(self._report_for_ever())
        shortcodes = itertools.cycle(EMOJIS)
        started_s = loop.time()
        async with asyncio.TaskGroup() as visits:
            for number in range(round((warm_up_s + duration_s) * rate)):
                due_s = number / rate
                await asyncio.sleep(max(0.0, started_s + due_s - loop.time()))
                if due_s >= warm_up_s and not self._measuring:
                    self._measuring = True
                    _emit({"started": time.monotonic()})
                visits.create_task(self.visit(next(shortcodes)))
        reports.cancel()
        self._report()

    async def _report_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            self._report()

    def _report(self) -> None:
        if self._measuring:
            _emit({"calls": self._calls})
            self._calls = []


def _emit(report: dict[str, object]) -> None:
    print(json.dumps(report), flush=True)


async def _connect(channel: grpc.aio.Channel, service: Service) -> None:
    try:
        await asyncio.wait_for(channel.channel_ready(), CONNECT_TIMEOUT_S)
    except TimeoutError:
        sys.exit(f"no connection to {service.name} within {CONNECT_TIMEOUT_S:g} s")


async def run(addresses: dict[str, list[str]], load: Callable[[Front], Awaitable[None]]) -> None:
    async with dial(EMOJI, addresses["emoji"]) as emoji, dial(VOTING, addresses["voting"]) as voting:
        await asyncio.gather(_connect(emoji, EMOJI), _connect(voting, VOTING))
        await load(Front(emoji, voting))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in SERVICES:
        parser.add_argument(f"--{name}", required=True, help="addresses behind the service's name, comma-separated")
    for option in ("rate", "warm-up", "duration"):
        parser.add_argument(f"--{option}", type=float, required=True)
    options = vars(parser.parse_args())
    addresses = {name: options[name].split(",") for name in SERVICES}
    asyncio.run(run(addresses, lambda front: front.load(options["rate"], options["warm_up"], options["duration"])))


if __name__ == "__main__":
    main()
