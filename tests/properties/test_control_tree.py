"""Whatever a control plane does, in whatever order: the sidecar ends with what it says, and never serves half of it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.control.delta import Delta
from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE, TYPES, Request, Resource, Response
from proxy.control.tree import Tree
from proxy.route.model import Destination
from tests.unit.proxy.control.resources import make_cluster, make_endpoints, make_listener, make_resource, make_routes

TARGETS = ("a", "b", "c")
TABLES = ("r1", "r2")
CLUSTERS = ("c1", "c2", "c3")
ASSIGNMENTS = ("e1", "e2")
HOSTS = ("10.0.0.1", "10.0.0.2")
NAMES = {LISTENER: TARGETS, ROUTE: TABLES, CLUSTER: CLUSTERS, ENDPOINTS: ASSIGNMENTS}
SEEDS = st.integers(0, 2**32)


class World:
    """A server's state, its streams, and a client; each `step` is one random thing that may happen."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        # What the server has: what it leads to, as (version, value).
        self.state: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {type_url: {} for type_url in TYPES}
        self.subscribed: dict[str, dict[str, str | None]] = {}
        self.nonce = 0
        self.version = 0
        self.delta = Delta()
        self.tree = Tree(self.delta, keep_bodies=True)
        self.wanted: set[str] = set()
        self.published: dict[str, Destination | None] = {}
        self.restart()

    # ---- the server

    def put(self) -> None:
        type_url = self.rng.choice(TYPES)
        values = {
            LISTENER: [(table,) for table in TABLES],
            ROUTE: [(self.rng.choice(CLUSTERS),), tuple(self.rng.sample(CLUSTERS, 2))],
            CLUSTER: [(assignment,) for assignment in ASSIGNMENTS],
            ENDPOINTS: [(), HOSTS[:1], HOSTS[1:], HOSTS],
        }[type_url]
        self.version += 1
        self.state[type_url][self.rng.choice(NAMES[type_url])] = str(self.version), self.rng.choice(values)

    def spoil(self) -> None:
        """What cannot be used; the state stays, so that a later version mends it."""
        type_url = self.rng.choice(TYPES)
        name = self.rng.choice(NAMES[type_url])
        if name in self.subscribed[type_url]:
            resource = Resource(name, "bad", type_url, b"\xff")
            self.nonce += 1
            self.receive(Response(type_url, f"bad{self.nonce}", (resource,)))

    def remove(self) -> None:
        type_url = self.rng.choice(TYPES)
        self.state[type_url].pop(self.rng.choice(NAMES[type_url]), None)

    def encode(self, type_url: str, name: str) -> Resource:
        version, value = self.state[type_url][name]
        message = {
            LISTENER: lambda: make_listener(name, value[0]),
            ROUTE: lambda: make_routes(name, *value),
            CLUSTER: lambda: make_cluster(name, value[0]),
            ENDPOINTS: lambda: make_endpoints(name, *((host, 80) for host in value)),
        }[type_url]()
        return make_resource(type_url, name, version, message)

    def answer(self, type_url: str) -> bool:
        """Say what the client lacks; some of it, as a server may. False where there is nothing to say."""
        names = self.subscribed[type_url]
        due = [name for name, told in names.items() if self.state[type_url].get(name, ("",))[0] != told]
        if not due:
            return False
        due = due if self.rng.random() < 0.5 else [self.rng.choice(due)]
        for name in due:
            names[name] = self.state[type_url].get(name, ("",))[0]
        here = tuple(self.encode(type_url, name) for name in due if name in self.state[type_url])
        gone = tuple(name for name in due if name not in self.state[type_url])
        self.nonce += 1
        self.receive(Response(type_url, str(self.nonce), here, gone))
        return True

    def hear(self, request: Request) -> None:
        names = self.subscribed[request.type_url]
        assert names or request.subscribe, "a wildcard"
        assert not set(request.subscribe) & set(request.unsubscribe)
        if request.error:
            assert request.nonce.startswith("bad")
        for name in request.unsubscribe:
            names.pop(name, None)
        for name in request.subscribe:
            names[name] = request.versions.get(name)

    # ---- the client

    def restart(self) -> None:
        self.subscribed = {type_url: {} for type_url in TYPES}
        self.delta.restart()

    def receive(self, response: Response) -> None:
        remove = lambda name: self.tree.remove(response.type_url, name)  # noqa: E731
        for _ in self.delta.receive(response, self.now, self.tree.put, remove):
            if self.rng.random() < 0.2:
                self.settle()

    def want(self) -> None:
        name = self.rng.choice(TARGETS)
        self.wanted.add(name)
        self.tree.want(name)

    def drop(self) -> None:
        if self.wanted:
            name = self.rng.choice(sorted(self.wanted))
            self.wanted.discard(name)
            self.tree.drop(name)

    def speak(self) -> None:
        self.now += 1.0
        for request in self.delta.requests(self.now):
            self.hear(request)

    def settle(self) -> None:
        for name, destination in self.tree.settle():
            self.published[name] = destination
            assert destination is None or name in self.wanted
            if destination is not None:
                assert {route.cluster for route in destination.routes} == {one.name for one in destination.clusters}

    # ---- what must hold

    def step(self) -> None:
        does = [self.put] * 6 + [self.remove, self.spoil, self.restart, self.drop] + [self.want] * 2
        does += [self.speak] * 6 + [self.settle] * 2 + [lambda: self.answer(self.rng.choice(TYPES))] * 8
        self.rng.choice(does)()

    def converge(self) -> None:
        """Nothing changes any more, and everything that is due is said."""
        moved = True
        while moved:
            self.speak()
            moved = sum(self.answer(type_url) for type_url in TYPES) > 0
            self.settle()
            moved = moved or any(kind.fresh or kind.stale for kind in self.delta.types.values())

    def expected(self, name: str) -> dict[str, tuple[str, ...]] | None:
        """The endpoints by cluster that the server's state leads to; KeyError where it leads nowhere."""
        table = self.state[LISTENER][name][1][0]
        clusters = self.state[ROUTE][table][1]
        return {cluster: self.state[ENDPOINTS][self.state[CLUSTER][cluster][1][0]][1] for cluster in clusters}


def shape(destination: Destination) -> dict[str, tuple[str, ...]]:
    return {cluster.name: tuple(endpoint.host for endpoint in cluster.endpoints) for cluster in destination.clusters}


@settings(deadline=None, max_examples=150)
@given(SEEDS, st.integers(0, 120))
def test_the_end_is_the_servers_state(seed: int, steps: int) -> None:
    world = World(seed)
    for _ in range(steps):
        world.step()
    world.converge()
    for name in TARGETS:
        published = world.published.get(name)
        assert world.tree.known(name) == (published if name in world.wanted else None)
        if name not in world.wanted:
            assert published is None
        elif name not in world.state[LISTENER]:
            assert published is None
            assert world.tree.is_missing(name)
        else:
            assert not world.tree.is_missing(name)
            try:
                expected = world.expected(name)
            except KeyError:
                continue
            assert published is not None
            assert shape(published) == expected


@settings(deadline=None, max_examples=150)
@given(SEEDS, st.integers(0, 120))
def test_both_sides_agree_on_what_is_subscribed_and_nothing_is_left_behind(seed: int, steps: int) -> None:
    world = World(seed)
    for _ in range(steps):
        world.step()
    world.converge()
    for type_url, kind in world.delta.types.items():
        assert set(world.subscribed[type_url]) == set(kind.names)
        assert set(kind.versions) <= set(kind.names)
    assert {name for type_url, name in world.tree.good if type_url == LISTENER} <= world.wanted
    for name in sorted(world.wanted):
        world.tree.drop(name)
    world.settle()
    world.converge()
    assert world.tree.good == {}
    assert all(not names for names in world.subscribed.values())
    kept = (world.tree._listeners, world.tree._routes, world.tree._clusters, world.tree._endpoints)
    assert not any((*kept, world.tree._bodies, world.tree._users, world.tree._missing))


@settings(deadline=None, max_examples=100)
@given(SEEDS, st.integers(0, 80))
def test_what_is_in_force_can_be_restored(seed: int, steps: int) -> None:
    """The good resources alone lead to what was last published of each destination that was complete."""
    world = World(seed)
    for _ in range(steps):
        world.step()
    world.converge()
    good = world.tree.good
    again = Tree(Delta())
    for name in world.wanted:
        again.want(name)
    for type_url in TYPES:
        for resource in [resource for (kind, _), resource in good.items() if kind == type_url]:
            assert again.put(resource) == ""
        again.settle()
    for name in world.wanted:
        try:
            world.expected(name)
        except KeyError:
            continue
        assert again.known(name) == world.tree.known(name)
