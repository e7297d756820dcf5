"""Whatever the order of changes, subscriptions, ACKs and NACKs: in the end the client has what the catalog has.

And on the way: one unacknowledged response per type, nothing that the client has (unless it asked again), order held.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.discovery.bounds import Bounds
from controlplane.translate.resource import CDS, EDS, LDS, RDS, TYPES
from tests.unit.controlplane.discovery.table import (
    ENVOY_NODE,
    SIDECAR_NODE,
    Client,
    DeltaClient,
    Exchange,
    Reply,
    SotwClient,
    Table,
)

NAMES = ("a", "b", "hidden")
types = st.sampled_from(TYPES)
names = st.sampled_from(NAMES)
name_sets = st.frozensets(st.sampled_from((*NAMES, "*")))

put = st.tuples(st.just("put"), types, names, st.sampled_from("123"))
remove = st.tuples(st.just("remove"), types, names)
subscribe = st.tuples(st.just("subscribe"), types, name_sets, name_sets)
ack = st.tuples(st.just("ack"), st.integers(0, 3), st.booleans())
pull = st.tuples(st.just("pull"))
reconnect = st.tuples(st.just("reconnect"))
wait = st.tuples(st.just("wait"), st.sampled_from([0.001, 0.1, 5.0]))
steps = st.lists(st.one_of(put, put, remove, subscribe, subscribe, ack, ack, pull, pull, wait, reconnect), max_size=60)


class Wanted:
    """What a client has asked for, by the rules of the protocol, kept apart from the code under test."""

    def __init__(self) -> None:
        self.names: dict[str, set[str]] = {}
        self.wildcard: dict[str, bool] = {}
        self.named: set[str] = set()  # types for which a name was ever given

    def delta(self, type_url: str, subscribe: frozenset[str], unsubscribe: frozenset[str]) -> None:
        first = type_url not in self.names
        held = self.names.setdefault(type_url, set())
        if first:
            nothing = not subscribe and not unsubscribe
            self.wildcard[type_url] = nothing and type_url in (CDS, LDS)
        self.wildcard[type_url] = (self.wildcard[type_url] or "*" in subscribe) and "*" not in unsubscribe
        held |= subscribe - {"*"}
        held -= unsubscribe

    def sotw(self, type_url: str, asked: frozenset[str]) -> None:
        if asked:
            self.named.add(type_url)
        legacy = not asked and type_url not in self.named and type_url in (CDS, LDS)
        self.wildcard[type_url] = "*" in asked or legacy
        self.names[type_url] = set(asked) - {"*"}

    def expected(self, table: Table, type_url: str) -> dict[str, str]:
        wanted = set(self.names.get(type_url, ()))
        if self.wildcard.get(type_url):
            wanted |= table.wildcard(type_url, None)  # type: ignore[arg-type]
        return {
            name: resource.version for name in wanted if (resource := table.resources.get((type_url, name))) is not None
        }


class Play:
    """One client and one catalog; `step` does what was drawn, and checks what must always hold."""

    def __init__(self, sotw: bool, envoy: bool) -> None:
        self.sotw, self.node = sotw, ENVOY_NODE if envoy else SIDECAR_NODE
        self.table = Table()
        self.now = 0.0
        self.asked_again: dict[str, set[str]] = {}
        self.connect({})

    def connect(self, held: dict[str, dict[str, str]]) -> None:
        self.exchange = Exchange(self.table, Bounds(response_bytes=40), bytes_per_s=1000)
        self.client: Client = (SotwClient if self.sotw else DeltaClient)(self.exchange, self.node)
        self.client.held = held
        self.wanted = Wanted()
        self.asked_again.clear()

    def step(self, action: str, *arguments: object) -> None:
        getattr(self, action)(*arguments)

    def put(self, type_url: str, name: str, content: str) -> None:
        self.table.put(type_url, name, content)
        self.exchange.announce([name], self.now)

    def remove(self, type_url: str, name: str) -> None:
        self.table.remove(type_url, name)
        self.exchange.announce([name], self.now)

    def wait(self, delay_s: float) -> None:
        self.now += delay_s
        self.exchange.release(self.now)

    def subscribe(self, type_url: str, asked: frozenset[str], dropped: frozenset[str]) -> None:
        client = self.client
        again = self.asked_again.setdefault(type_url, set())
        again |= set(NAMES) if "*" in asked | dropped else asked | dropped
        if isinstance(client, SotwClient):
            client.send(type_url, sorted(asked))
            self.wanted.sotw(type_url, asked)
        else:
            assert isinstance(client, DeltaClient)
            client.send(type_url, sorted(asked), sorted(dropped))
            self.wanted.delta(type_url, asked, dropped)
            self.forget(type_url)

    def forget(self, type_url: str) -> None:
        """A client drops what it has given up by name; of what the wildcard may hold, the server tells it."""
        if not self.wanted.wildcard[type_url]:
            held = self.client.held.get(type_url, {})
            for name in set(held) - self.wanted.names[type_url]:
                del held[name]

    def ack(self, which: int, accepted: bool) -> None:
        if self.client.unacked:
            self.client.ack(self.client.unacked[which % len(self.client.unacked)], "" if accepted else "no")

    def pull(self) -> None:
        before = {type_url: dict(held) for type_url, held in self.client.held.items()}
        self.client.now = self.now
        replies = self.client.pull()
        types = [reply.type_url for reply in self.client.unacked]
        assert len(types) == len(set(types)), "more than one unacknowledged response of a type"
        self.check_order(replies)
        if not self.sotw:
            self.check_news(replies, before)
        for reply in replies:
            self.asked_again.setdefault(reply.type_url, set()).difference_update(reply.names, reply.removed)

    def check_order(self, replies: list[Reply]) -> None:
        if not self.sotw:
            makes = [TYPES.index(reply.type_url) for reply in replies if reply.names]
            assert makes == sorted(makes)
            breaks = [TYPES.index(reply.type_url) for reply in replies if not reply.names and reply.removed]
            gone = [i for i in breaks if i not in self.answers(replies)]
            assert gone == sorted(gone, reverse=True)

    def answers(self, replies: list[Reply]) -> list[int]:
        """Responses that only say that a name asked for does not exist break nothing, and go with the news."""
        return [
            TYPES.index(reply.type_url)
            for reply in replies
            if not reply.names and set(reply.removed) & self.asked_again.get(reply.type_url, set())
        ]

    def check_news(self, replies: list[Reply], before: dict[str, dict[str, str]]) -> None:
        for reply in replies:
            may_repeat = self.asked_again.get(reply.type_url, set())
            if reply.type_url == EDS and self.node is ENVOY_NODE:
                continue  # these go again after their cluster
            for name in set(reply.names) - may_repeat:
                assert before.get(reply.type_url, {}).get(name) != self.client.held[reply.type_url][name]

    def reconnect(self) -> None:
        """To another replica, with the versions that it has; in state-of-the-world anew."""
        wanted, held = self.wanted, self.client.held
        self.connect({} if self.sotw else held)
        for type_url, asked in wanted.names.items():
            if wanted.wildcard[type_url]:
                asked = asked | {"*"}
            if self.sotw:
                self.subscribe(type_url, frozenset(asked), frozenset())
                continue
            assert isinstance(self.client, DeltaClient)
            self.client.send(type_url, sorted(asked), initial=held.get(type_url, {}))
            self.wanted.delta(type_url, frozenset(asked), frozenset())
            unknown = set(asked) - set(held.get(type_url, {}))
            self.asked_again[type_url] = set(NAMES) if "*" in asked and not held.get(type_url) else unknown
            self.forget(type_url)

    def finish(self) -> None:
        for _ in range(50):
            self.wait(10.0)
            self.pull()
            while self.client.unacked:
                self.ack(0, True)
        assert self.exchange.next_release is None
        assert self.client.pull() == [], "it never comes to rest"


@settings(max_examples=400, deadline=None)
@given(steps=steps, sotw=st.booleans(), envoy=st.booleans())
def test_in_the_end_the_client_has_what_the_catalog_has(
    steps: list[tuple[object, ...]], sotw: bool, envoy: bool
) -> None:
    play = Play(sotw, envoy)
    for step in steps:
        play.step(*step)  # type: ignore[arg-type]
    play.finish()
    for type_url in (CDS, EDS, LDS, RDS):
        held = play.client.held.get(type_url, {})
        expected = play.wanted.expected(play.table, type_url)
        if sotw and type_url in (EDS, RDS):
            held = {name: version for name, version in held.items() if name in expected}  # absence means nothing here
        assert held == expected
