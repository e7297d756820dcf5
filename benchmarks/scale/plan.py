"""How large the cluster is, who calls whom in it, and what is done to it. Pure.

A few large services are popular: all sidecars follow them. Each sidecar follows some of the others besides, so that
each of these has a handful of followers. Sidecars are spread over namespaces, nodes and zones as pods are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DOMAIN = "cluster.local"
PORT = 80
SCENARIOS = ("popular", "few", "burst", "stalled", "profile", "relist", "reconnect", "rollout")


@dataclass(frozen=True, slots=True)
class Plan:
    """The cluster, and how often what is done to it."""

    sidecars: int = 1000
    services: int = 1000
    endpoints: int = 10_000
    large_services: int = 20  # of 50 endpoints; the others share the rest
    popular_services: int = 4
    follows: int = 10  # services of one sidecar, the popular ones included
    namespaces: int = 20
    nodes: int = 100
    zones: int = 3
    popular_changes: int = 120
    popular_rate_per_s: float = 2.0
    few_changes: int = 500
    few_rate_per_s: float = 20.0
    stalled_sidecars: int = 100
    stalled_changes: int = 60
    profile_changes: int = 40
    replicas: int = 500
    scenarios: tuple[str, ...] = SCENARIOS


FULL = Plan()
QUICK = replace(
    FULL,
    sidecars=100,
    services=100,
    endpoints=1000,
    large_services=5,
    nodes=20,
    popular_changes=20,
    popular_rate_per_s=5.0,
    few_changes=50,
    stalled_sidecars=10,
    stalled_changes=10,
    profile_changes=20,
    replicas=30,
)
LARGE = 50


@dataclass(frozen=True, slots=True)
class Service:
    """`number` is its place among all; its pods are `first_pod` and those after."""

    number: int
    namespace: str
    endpoints: int
    first_pod: int

    @property
    def name(self) -> str:
        return f"service-{self.number:04}"

    @property
    def alias(self) -> str:
        """As an application calls it."""
        return f"{self.name}.{self.namespace}:{PORT}"

    @property
    def canonical(self) -> str:
        return canonical(self.alias)


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one sidecar is, and the names that its pod calls."""

    pod: str
    namespace: str
    zone: str
    node: str
    aliases: tuple[str, ...]


def canonical(alias: str) -> str:
    """`NAME.NAMESPACE:PORT` in full."""
    host, _, port = alias.rpartition(":")
    return f"{host}.svc.{DOMAIN}:{port}"


def name_namespace(number: int) -> str:
    return f"team-{number:02}"


def name_node(number: int) -> str:
    return f"node-{number:03}"


def name_zone(plan: Plan, node: int) -> str:
    return f"zone-{'abcdefgh'[node % plan.zones]}"


def pod_address(number: int) -> str:
    return f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def make_services(plan: Plan) -> list[Service]:
    """The large ones first, the popular ones among them before the others."""
    small, rest = plan.services - plan.large_services, plan.endpoints - LARGE * plan.large_services
    sizes = [LARGE] * plan.large_services + [rest // small + (place < rest % small) for place in range(small)]
    services, first_pod = [], 0
    for number, size in enumerate(sizes):
        services.append(Service(number, name_namespace(number % plan.namespaces), size, first_pod))
        first_pod += size
    return services


def make_seats(plan: Plan, services: list[Service]) -> list[Seat]:
    popular, others = services[: plan.popular_services], services[plan.popular_services :]
    own = plan.follows - plan.popular_services
    seats = []
    for number in range(plan.sidecars):
        chosen = [others[(number * own + place) % len(others)] for place in range(own)]
        node = number % plan.nodes
        seats.append(
            Seat(
                pod=f"client-{number:04}",
                namespace=name_namespace(number * plan.namespaces // plan.sidecars),
                zone=name_zone(plan, node),
                node=name_node(node),
                aliases=tuple(service.alias for service in [*popular, *chosen]),
            )
        )
    return seats


def count_followers(seats: list[Seat]) -> dict[str, int]:
    """How many sidecars follow each service, by its canonical name."""
    followers: dict[str, int] = {}
    for seat in seats:
        for alias in seat.aliases:
            followers[canonical(alias)] = followers.get(canonical(alias), 0) + 1
    return followers
