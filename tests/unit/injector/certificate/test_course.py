"""The table of course.py, and a year of it with several replicas whose looks interleave at random."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from injector.certificate.course import Step, Terms, choose, is_valid, take
from injector.certificate.pair import make_pair
from injector.certificate.store import Store

DAY_S = 86_400.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TERMS = Terms(90 * DAY_S)
NAMES = ("a.b.svc",)
FRESH = make_pair(NAMES, NOW, TERMS.lifetime_s)
OTHER = make_pair(NAMES, NOW, TERMS.lifetime_s)
DUE = make_pair(NAMES, NOW - timedelta(days=61), TERMS.lifetime_s)
ENDED = make_pair(NAMES, NOW - timedelta(days=91), TERMS.lifetime_s)
EARLY = make_pair(NAMES, NOW + timedelta(hours=2), TERMS.lifetime_s)
SKEWED = make_pair(NAMES, NOW + timedelta(minutes=59), TERMS.lifetime_s)
NAMED = make_pair(("c.d.svc",), NOW, TERMS.lifetime_s)


@pytest.mark.parametrize(
    ("store", "served", "trusted_s", "step"),
    [
        (Store(), None, None, Step.BEGIN),
        (Store(None, FRESH), None, 1e9, Step.BEGIN),
        (Store(ENDED), None, 1e9, Step.BEGIN),
        (Store(EARLY), None, 1e9, Step.BEGIN),
        (Store(ENDED, FRESH), ENDED, 1e9, Step.BEGIN),
        (Store(), ENDED, 1e9, Step.BEGIN),
        (Store(), FRESH, None, Step.RESTORE),
        (Store(None, OTHER), FRESH, None, Step.RESTORE),
        (Store(FRESH), None, None, Step.KEEP),
        (Store(SKEWED), None, None, Step.KEEP),
        (Store(FRESH), FRESH, 1e9, Step.KEEP),
        (Store(FRESH, None, DUE.authority), FRESH, 1e9, Step.KEEP),
        (Store(FRESH, None, ENDED.authority), FRESH, 1e9, Step.FORGET),
        (Store(DUE), DUE, 1e9, Step.PREPARE),
        (Store(NAMED), NAMED, 1e9, Step.PREPARE),
        (Store(DUE, DUE), DUE, 1e9, Step.PREPARE),
        (Store(DUE, ENDED), DUE, 1e9, Step.PREPARE),
        (Store(DUE, EARLY), DUE, 1e9, Step.PREPARE),
        (Store(FRESH, NAMED), FRESH, 1e9, Step.PREPARE),
        (Store(DUE, FRESH), DUE, None, Step.KEEP),
        (Store(DUE, FRESH), DUE, TERMS.spread_s - 0.1, Step.KEEP),
        (Store(DUE, FRESH), DUE, TERMS.spread_s, Step.PROMOTE),
    ],
)
def test_what_follows(store: Store, served: object, trusted_s: float | None, step: Step) -> None:
    assert choose(store, served, trusted_s, NAMES, TERMS, NOW) is step  # type: ignore[arg-type]


def test_each_step_leads_to_one_where_nothing_or_promotion_follows() -> None:
    begun = take(Step.BEGIN, Store(ENDED, OTHER, DUE.authority), None, NAMES, TERMS, NOW)
    assert (begun.following, begun.previous) == (None, "")
    assert choose(begun, None, None, NAMES, TERMS, NOW) is Step.KEEP
    restored = take(Step.RESTORE, Store(None, None, DUE.authority), FRESH, NAMES, TERMS, NOW)
    assert (restored.current, restored.previous) == (FRESH, DUE.authority)
    assert choose(restored, FRESH, TERMS.spread_s, NAMES, TERMS, NOW) is Step.PROMOTE
    prepared = take(Step.PREPARE, Store(DUE), DUE, NAMES, TERMS, NOW)
    assert prepared.current == DUE
    assert choose(prepared, DUE, TERMS.spread_s, NAMES, TERMS, NOW) is Step.PROMOTE
    promoted = take(Step.PROMOTE, prepared, DUE, NAMES, TERMS, NOW)
    assert (promoted.current, promoted.following, promoted.previous) == (prepared.following, None, DUE.authority)
    assert promoted.bundle() == prepared.bundle()
    assert take(Step.FORGET, promoted, None, NAMES, TERMS, NOW) == Store(promoted.current)
    assert take(Step.KEEP, promoted, None, NAMES, TERMS, NOW) is promoted


def test_times_follow_from_the_lifetime() -> None:
    assert (TERMS.renewal_s, TERMS.spread_s, TERMS.look_s) == (30 * DAY_S, 60.0, 5.0)
    assert Terms(20).spread_s == Terms(20).look_s == 1.0


class Cluster:
    """What all replicas share, with versions as the API has them."""

    def __init__(self) -> None:
        self.now = NOW
        self.secret, self.secret_version = Store(), 0
        self.bundle: frozenset[str] = frozenset()
        self.bundle_version = 0
        self.history: list[tuple[datetime, frozenset[str]]] = []


class Replica:
    """The order of `Keeper.look`, cut into its requests: any other replica's may come in between."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.pair = None
        self.since: tuple[frozenset[str], datetime] | None = None
        self.requests = self._look()

    def _look(self):  # type: ignore[no-untyped-def]
        cluster = self.cluster
        while True:
            bundle, bundle_version = cluster.bundle, cluster.bundle_version
            yield
            store, version, now = cluster.secret, cluster.secret_version, cluster.now
            wanted = store.bundle()
            if not wanted or not wanted <= bundle:
                self.since = None
            elif self.since is None or self.since[0] != wanted:
                self.since = wanted, now
            trusted_s = (now - self.since[1]).total_seconds() if self.since else None
            step = choose(store, self.pair, trusted_s, NAMES, TERMS, now)
            store = take(step, store, self.pair, NAMES, TERMS, now)
            yield
            if step is not Step.KEEP:
                if cluster.secret_version != version:
                    continue
                cluster.secret, cluster.secret_version = store, version + 1
            self.pair = store.current
            yield
            if store.bundle() != bundle and cluster.bundle_version == bundle_version:
                cluster.bundle, cluster.bundle_version = store.bundle(), bundle_version + 1
                cluster.history.append((cluster.now, cluster.bundle))
            yield


@pytest.mark.parametrize("seed", range(6))
def test_a_year_of_three_replicas_never_serves_what_is_not_trusted(seed: int) -> None:
    """Not even by an API server that hears of a caBundle half a minute late, nor where a replica stalls in a look."""
    rng, cluster = Random(seed), Cluster()
    replicas = [Replica(cluster) for _ in range(3)]
    for replica in replicas:  # the start, where nothing works yet
        for _ in range(8):
            next(replica.requests)
    served = {replica.pair.certificate for replica in replicas}
    assert len(served) == 1
    end = NOW + timedelta(days=365)
    while cluster.now < end:
        is_calm = cluster.secret.following is None and len({replica.pair.certificate for replica in replicas}) == 1
        cluster.now += timedelta(seconds=rng.uniform(0, DAY_S / 4 if is_calm else 4))
        if rng.random() < 0.01:
            rng.shuffle(replicas)
        next(rng.choices(replicas, (1, 10, 10))[0].requests)
        served |= {replica.pair.certificate for replica in replicas}
        heard = heard_late(cluster)
        assert all(replica.pair.authority in heard for replica in replicas)
        assert all(is_valid(replica.pair, cluster.now) for replica in replicas)
    assert len(served) in (6, 7)  # the first, and one every 60 days


def heard_late(cluster: Cluster) -> frozenset[str]:
    """The caBundle of half a minute ago."""
    then = cluster.now - timedelta(seconds=30)
    known = [bundle for moment, bundle in cluster.history if moment <= then]
    return known[-1] if known else cluster.history[0][1]
