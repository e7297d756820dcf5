from __future__ import annotations

from datetime import timedelta

import pytest

from injector.certificate.brought import Handover, Plan, find_fault, read_brought
from injector.certificate.pair import Pair, Unreadable
from tests.unit.injector.certificate.issuing import START, TIMES, Issuer

NAME = "gossamer-injector.gossamer.svc"
NAMES = (NAME, f"{NAME}.cluster.local")
ROOT, OTHER = Issuer("root"), Issuer("other")
BETWEEN = Issuer("between", ROOT)
SPREAD_S = 60.0
NOW = START + timedelta(days=1)


def bring(issuer: Issuer, *names: str) -> Pair:
    return read_brought(issuer.text, *issuer.issue(*(names or NAMES)))


def test_trusted_is_the_authority_or_the_end_of_the_chain() -> None:
    leaf, key = BETWEEN.issue(NAME)
    chain = leaf + BETWEEN.text
    for authority, certificate, trusted in (
        (ROOT.text, chain, ROOT.text),
        (OTHER.text + ROOT.text, chain, OTHER.text + ROOT.text),  # while an authority is exchanged, both are there
        (BETWEEN.text, leaf, BETWEEN.text),
        (BETWEEN.text, chain, BETWEEN.text),
        ("", chain, BETWEEN.text),
        ("", chain + ROOT.text, ROOT.text),
        ("", leaf, leaf),
        (OTHER.text, chain, BETWEEN.text),  # left over from a certificate before
        (f"# of the root\n{ROOT.text}\n", f"# of the webhook\n{chain}", ROOT.text),
    ):
        found = read_brought(authority, certificate, key)
        assert found.authority == trusted
        assert (found.certificate, found.names, (found.not_before, found.not_after)) == (certificate, {NAME}, TIMES)


def test_what_cannot_be_used_says_why() -> None:
    (leaf, key), (_, strange), (nameless, its_key) = ROOT.issue(NAME), ROOT.issue(NAME), ROOT.issue()
    for certificate, own, said in (
        ("", key, r"tls\.crt holds no certificate"),
        ("none", key, r"tls\.crt holds something else than certificates"),
        (leaf, "none", r"tls\.key is no key"),
        (leaf, strange, r"tls\.key is not the key of tls\.crt"),
        (nameless, its_key, r"tls\.crt names nobody"),
    ):
        with pytest.raises(Unreadable, match=said):
            read_brought(ROOT.text, certificate, own)
    with pytest.raises(Unreadable, match=r"ca\.crt holds something else"):
        read_brought("none", leaf, key)


@pytest.mark.parametrize(
    ("names", "days", "said"),
    [
        (NAMES, 1, ""),
        ((NAMES[1],), 1, ""),
        (("*.gossamer.svc",), 1, ""),
        (("*.svc",), 1, f"tls.crt is not for {NAME}"),
        (("gossamer-injector.other.svc",), 1, f"tls.crt is not for {NAME}; have it issued for that name"),
        (NAMES, 90, "tls.crt has ended at 2026-04-01"),
        (NAMES, -1, "tls.crt is valid only from 2026-01-01"),
    ],
)
def test_what_no_api_server_would_accept_is_named(names: tuple[str, ...], days: int, said: str) -> None:
    found = find_fault(bring(ROOT, *names), NAMES, START + timedelta(days=days))
    assert found.startswith(said)
    assert bool(found) == bool(said)


class Replica:
    """`trusted_s` is for how long the authority has been in every caBundle."""

    def __init__(self, served: Pair | None) -> None:
        self.served = served
        self.handover = Handover(SPREAD_S)

    def look(self, pair: Pair, present: frozenset[str], trusted_s: float | None) -> Plan:
        self.handover.begin(pair, present)
        plan = self.handover.plan(frozenset([pair.authority]), self.served, trusted_s, NOW)
        self.served = pair if plan.is_served else self.served
        return plan


def test_another_authority_is_served_when_it_is_trusted_and_that_of_before_goes_later() -> None:
    before, after = bring(ROOT), bring(OTHER)
    old, new = frozenset([before.authority]), frozenset([after.authority])
    replica = Replica(before)
    assert replica.look(after, old, None) == Plan(False, old | new)
    assert replica.look(after, old | new, SPREAD_S - 1) == Plan(False, old | new)
    assert replica.look(after, old | new, SPREAD_S) == Plan(True, old | new)
    assert replica.look(after, old | new, 2 * SPREAD_S - 1) == Plan(True, old | new)
    assert replica.look(after, old | new, 2 * SPREAD_S) == Plan(True, new)
    assert replica.look(after, new, 3 * SPREAD_S) == Plan(True, new)


def test_a_replica_that_starts_meanwhile_serves_at_once_and_takes_nothing_from_the_others() -> None:
    before, after = bring(ROOT), bring(OTHER)
    old, new = frozenset([before.authority]), frozenset([after.authority])
    assert Replica(None).look(after, old | new, None) == Plan(True, old | new)


def test_a_renewal_by_the_same_authority_is_served_at_once() -> None:
    replica = Replica(bring(ROOT))
    present = frozenset([ROOT.text])
    assert replica.look(bring(ROOT), present, 1e9) == Plan(True, present)


def test_nothing_is_waited_for_where_nothing_works() -> None:
    ended = read_brought(ROOT.text, *ROOT.issue(NAME, times=(START, NOW)))
    assert Replica(ended).look(bring(OTHER), frozenset(), None).is_served
