"""The size of every resource that the control plane serves, asked for by one sidecar that follows all services."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.scale.plan import Seat, Service, canonical
from benchmarks.scale.sidecar import Sidecar
from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE, Resource
from proxy.route.model import Address

SHORT = {LISTENER: "listener", ROUTE: "route", CLUSTER: "cluster", ENDPOINTS: "endpoints"}
WITHIN_S = 60.0
Sizes = dict[str, dict[str, int]]  # canonical name -> kind of resource -> bytes


class Surveyor(Sidecar):
    """Is its own board: nobody else looks."""

    def __init__(self, seat: Seat, address: Address) -> None:
        super().__init__(0, seat, address, self)
        self.sizes: Sizes = {}
        self.is_done = asyncio.Event()

    def introduced(self, now: float) -> None:
        """It does not matter when."""

    def completed(self, now: float) -> None:
        self.is_done.set()

    def tracks(self, name: str) -> bool:
        return False

    def acknowledged(self, sidecar: int, resource: Resource, now: float) -> None:
        raise AssertionError("nothing is tracked")

    def _accept(self, resource: Resource) -> str:
        name = canonical(resource.name) if resource.type_url == LISTENER else resource.name
        self.sizes.setdefault(name, {})[SHORT[resource.type_url]] = len(resource.body)
        return super()._accept(resource)


async def survey(services: list[Service], host: str, port: int) -> Sizes:
    seat = Seat("surveyor", services[0].namespace, "", "", tuple(service.alias for service in services))
    surveyor = Surveyor(seat, Address(host, port))
    task = asyncio.create_task(surveyor.run())
    try:
        await asyncio.wait_for(surveyor.is_done.wait(), WITHIN_S)
    except TimeoutError:
        raise BenchmarkError(f"not all {len(services)} services were served within {WITHIN_S:.0f} s") from None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return surveyor.sizes


def measure_sizes(services: list[Service], host: str, port: int) -> Sizes:
    return asyncio.run(survey(services, host, port))


def total(sizes: Sizes) -> dict[str, Any]:
    """By kind of resource: how many, and the bytes of all."""
    return {
        kind: {
            "count": sum(kind in found for found in sizes.values()),
            "bytes": sum(found.get(kind, 0) for found in sizes.values()),
        }
        for kind in SHORT.values()
    }
