"""The sidecar's raw TCP on its own, for tests that look inside: accept, detect, relay over the endpoints given.

Tests the parts of `proxy/net` without the rest of `mesh proxy`. What is HTTP is answered with its name.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import signal
import socket
from time import monotonic

import uvloop

from proxy.codec.detect import HTTP1, HTTP2, NAMES
from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.registry import Registry
from proxy.net.accept import Acceptor
from proxy.net.adapter import ReadBuffer
from proxy.net.opaque import OpaqueRelay
from proxy.net.peek import Decision, Detector
from proxy.net.poll import make_watcher
from proxy.relay.opaque import Address, BalancedWay, OpaqueCluster
from proxy.route.hints import Expectation, Hints, expect_port
from proxy.route.model import Endpoint

_TICK_S = 0.05


class Sidecar:
    """One direction. `original` stands for what interception would say; `expectation` for what configuration would."""

    def __init__(
        self,
        endpoints: list[Address],
        original: Address | None = None,
        expectation: Expectation | None = None,
        detect_timeout_s: float = 10.0,
        user_timeout_s: float = 20.0,
    ) -> None:
        self.original = original
        self.expectation = expectation
        self.registry = Registry()
        self.counts = ConnectionCounts(self.registry)
        self.hints = Hints()
        self.decisions: list[Decision] = []
        self.cluster = OpaqueCluster("servers")
        self.cluster.replace([Endpoint(host, port) for host, port in endpoints])
        upstream_tcp = self.registry.tcp((("direction", "outbound"), ("peer", "dst")))
        self.watcher = make_watcher(asyncio.get_running_loop())
        self.relay = OpaqueRelay(
            self.watcher,
            "outbound",
            self.counts,
            ReadBuffer(),
            self.hints,
            random.Random(1).random,
            self.registry.tcp((("direction", "outbound"), ("peer", "src"))),
            lambda way: upstream_tcp,
            lambda address: address == self.address,
            self._reclaimed,
            user_timeout_s,
        )
        self.detector = Detector(
            self.watcher,
            "outbound",
            self._expect,
            self._decided,
            self.hints,
            self.counts,
            detect_timeout_s,
        )
        self.acceptor = Acceptor("outbound", self._arrived, self.counts, user_timeout_s)
        self.address = ("", 0)

    def listen(self, host: str, port: int) -> Address:
        self.address = self.acceptor.listen(host, port)
        return self.address

    def _arrived(self, sock: socket.socket, original: Address | None) -> None:
        self.detector.arrive(sock, original or self.original)

    def _expect(self, original: Address | None, sock: socket.socket) -> Expectation:
        return self.expectation or expect_port(original[1] if original is not None else 0)

    def _decided(self, sock: socket.socket, original: Address | None, decision: Decision) -> None:
        self.decisions.append(decision)
        del self.decisions[:-100]
        if decision.kind in (HTTP1, HTTP2):
            self._answer(sock, decision.kind)
        else:
            self.relay.begin(sock, BalancedWay(self.cluster), original, decision.is_silent)

    def _reclaimed(self, sock: socket.socket, original: Address | None, kind: int) -> None:
        self.decisions.append(Decision(kind, "late"))
        self._answer(sock, kind)

    def _answer(self, sock: socket.socket, kind: int) -> None:
        sock.recv(65_536)
        sock.send(NAMES[kind].encode())
        sock.close()

    async def sweep(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = monotonic()
            self.detector.sweep(now)
            await self.relay.tick(now)
            await self.relay.sweep(now)

    async def stop(self, drain_timeout_s: float = 0.0) -> bool:
        await self.acceptor.close()
        self.detector.close()
        return await self.relay.drain(drain_timeout_s)


def parse_address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def run(options: argparse.Namespace) -> None:
    expectation = expect_port(0, frozenset((0,))) if options.opaque else None
    sidecar = Sidecar([parse_address(text) for text in options.to.split(",")], expectation=expectation)
    host, port = sidecar.listen(*parse_address(options.listen))
    print(f"{host}:{port}", flush=True)
    gc.freeze()
    sweep = asyncio.create_task(sidecar.sweep())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sweep.cancel)
    await asyncio.wait([sweep])
    await sidecar.stop()
    print(sidecar.registry.render().decode(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--opaque", action="store_true", help="skip detection, as for a port that is known")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
