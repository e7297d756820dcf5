"""All light sidecars in one process: `python -m benchmarks.scale.fleet HOST PORT FILE`, FILE holding the seats.

Commands come as lines of JSON on standard input, and each is answered with one line. Times are those of the monotonic
clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
from pathlib import Path
from typing import Any

import uvloop
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from benchmarks.scale.plan import Seat
from benchmarks.scale.sidecar import Sidecar
from benchmarks.scale.timeline import Addresses, Timeline
from proxy.control.messages import ENDPOINTS, Resource
from proxy.route.model import Address

Answer = dict[str, Any]


class Fleet:
    """`timelines` are those of the services that are tracked now."""

    def __init__(self, seats: list[Seat], address: Address) -> None:
        self.sidecars = [Sidecar(number, seat, address, self) for number, seat in enumerate(seats)]
        self.timelines: dict[str, Timeline] = {}
        self.introduced_s = self.completed_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    # ---- what sidecars say

    def introduced(self, now: float) -> None:
        self.introduced_s = now

    def completed(self, now: float) -> None:
        self.completed_s = now

    def tracks(self, name: str) -> bool:
        return name in self.timelines

    def acknowledged(self, sidecar: int, resource: Resource, now: float) -> None:
        timeline = self.timelines[resource.name]
        if not timeline.knows(resource.version):
            timeline.add(resource.version, read_addresses(resource.body), now)
        timeline.reach(sidecar, resource.version, now)

    # ---- commands

    def start(self) -> Answer:
        """Connect all at once."""
        self._tasks = [asyncio.create_task(sidecar.run()) for sidecar in self.sidecars]
        return {}

    def status(self) -> Answer:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        sidecars = self.sidecars
        return {
            "connected": sum(sidecar.is_connected for sidecar in sidecars),
            "introduced": sum(sidecar.is_introduced for sidecar in sidecars),
            "complete": sum(sidecar.is_complete for sidecar in sidecars),
            "introduced_s": self.introduced_s,
            "completed_s": self.completed_s,
            "received_bytes": sum(sidecar.received_bytes for sidecar in sidecars),
            "responses": sum(sidecar.responses for sidecar in sidecars),
            "faults": sum(sidecar.faults for sidecar in sidecars),
            "removals": sum(sidecar.removals for sidecar in sidecars),
            "failures": sum(sidecar.failures for sidecar in sidecars),
            "cpu_s": usage.ru_utime + usage.ru_stime,
        }

    def track(self, names: list[str]) -> Answer:
        """Begin the timelines of these services, and end all others."""
        wanted = set(names)
        self.timelines = {name: Timeline() for name in wanted}
        for sidecar in self.sidecars:
            versions = sidecar.delta.types[ENDPOINTS].versions
            for name in wanted & versions.keys():
                timeline = self.timelines[name]
                if not timeline.knows(versions[name]):
                    timeline.add(versions[name], frozenset(), 0.0)
                timeline.reach(sidecar.number, versions[name], 0.0)
        return {}

    def report(self) -> Answer:
        """The timelines so far."""
        return {
            "returns": sum(timeline.returns for timeline in self.timelines.values()),
            "timelines": {
                name: [[sorted(step.addresses), step.first_s, step.last_s, step.sidecars] for step in timeline.steps]
                for name, timeline in self.timelines.items()
            },
        }

    def stall(self, count: int) -> Answer:
        for sidecar in self.sidecars[:count]:
            sidecar.stall()
        return {}

    def resume(self) -> Answer:
        for sidecar in self.sidecars:
            if sidecar.is_stalled:
                sidecar.resume()
        return {}

    def follow(self, alias: str) -> Answer:
        for sidecar in self.sidecars:
            sidecar.follow(alias)
        return {}

    async def serve(self) -> None:
        """Until standard input ends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        commands = {
            command.__name__: command
            for command in (self.start, self.status, self.track, self.report, self.stall, self.resume, self.follow)
        }
        while line := await reader.readline():
            command, arguments = json.loads(line)
            answer = commands[command](**arguments)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def read_addresses(body: bytes) -> Addresses:
    assignment = ClusterLoadAssignment.FromString(body)
    return frozenset(
        endpoint.endpoint.address.socket_address.address
        for locality in assignment.endpoints
        for endpoint in locality.lb_endpoints
    )


async def run(seats: list[Seat], host: str, port: int) -> None:
    fleet = Fleet(seats, Address(host, port))
    gc.collect()
    gc.freeze()
    await fleet.serve()


def main() -> None:
    host, port, file = sys.argv[1:]
    seats = [Seat(**{**seat, "aliases": tuple(seat["aliases"])}) for seat in json.loads(Path(file).read_text())]
    uvloop.run(run(seats, host, int(port)))


if __name__ == "__main__":
    main()
