from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from injector.certificate.pair import make_pair
from injector.certificate.store import OURS, Foreign, Store, is_brought, read_store
from tests.unit.injector.certificate.issuing import Issuer, make_data

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAIRS = [make_pair(("a.b.svc",), NOW, 60) for _ in range(3)]


def make_secret(data: dict[str, Any] | None, is_ours: bool = True) -> dict[str, Any]:
    return {"metadata": {"labels": {OURS: "webhook"} if is_ours else None}, "data": data}


@pytest.mark.parametrize(
    "store",
    [
        Store(),
        Store(PAIRS[0]),
        Store(PAIRS[0], PAIRS[1]),
        Store(PAIRS[0], None, PAIRS[2].authority),
        Store(PAIRS[0], PAIRS[1], PAIRS[2].authority),
    ],
)
def test_what_is_written_is_read_again(store: Store) -> None:
    found, problems = read_store(make_secret(store.encode()))
    assert found == store
    assert problems == ([] if store.current else ["tls.crt: ca.crt is missing, or is no text"])


def test_the_bundle_has_all_authorities_once() -> None:
    authorities = {pair.authority for pair in PAIRS}
    assert Store(PAIRS[0], PAIRS[1], PAIRS[2].authority).bundle() == authorities
    assert Store(PAIRS[0], None, PAIRS[0].authority).bundle() == {PAIRS[0].authority}
    assert Store().bundle() == frozenset()


@pytest.mark.parametrize("text", ["", "bm9uZQ==", "/w==", "%%%", None, 7])
@pytest.mark.parametrize("name", [*Store(PAIRS[0], PAIRS[1], PAIRS[2].authority).encode()])
def test_garbage_in_a_part_leaves_the_others(name: str, text: Any) -> None:
    data: dict[str, Any] = {**Store(PAIRS[0], PAIRS[1], PAIRS[2].authority).encode(), name: text}
    found, problems = read_store(make_secret(data))
    assert len(problems) == 1
    kept = [found.current == PAIRS[0], found.following == PAIRS[1], found.previous == PAIRS[2].authority]
    assert sorted(kept) == [False, True, True]


def test_pairs_that_are_mixed_up_are_garbage() -> None:
    data = Store(PAIRS[0]).encode() | {"tls.key": base64.b64encode(PAIRS[1].key.encode()).decode()}
    found, problems = read_store(make_secret(data))
    assert found.current is None
    assert "not of its certificate" in problems[0]


def test_the_secret_of_another_is_not_touched() -> None:
    for data in ({"password": "c2VjcmV0"}, None, {"tls.crt": "bm9uZQ==", "tls.key": "bm9uZQ=="}):
        with pytest.raises(Foreign, match=r"tls\.crt .*; put a certificate and its key in, or delete it"):
            read_store(make_secret(data, is_ours=False))
    assert read_store(make_secret({"password": "c2VjcmV0"}))[0] == Store()


def test_a_secret_is_ours_by_its_label_and_by_its_issuer() -> None:
    issuer = Issuer("theirs")
    certificate, key = issuer.issue("a.b.svc")
    ours, theirs = Store(PAIRS[0]).encode(), make_data(tls_crt=certificate, tls_key=key)
    assert not is_brought(make_secret(ours))
    assert is_brought(make_secret(ours, is_ours=False))
    assert is_brought(make_secret({**ours, **theirs}))
    assert not is_brought(make_secret({**theirs, "tls.crt": "bm9uZQ=="}))
    found, problems = read_store(make_secret({**ours, **theirs}))
    assert found.current is not None
    assert (found.current.certificate, found.current.authority, problems) == (certificate, certificate, [])


def test_the_bundle_has_the_authorities_of_the_user_one_by_one() -> None:
    issuers = Issuer("one"), Issuer("two")
    certificate, key = issuers[0].issue("a.b.svc")
    data = make_data(ca_crt=issuers[1].text + issuers[0].text, tls_crt=certificate, tls_key=key)
    assert read_store(make_secret(data, is_ours=False))[0].bundle() == {issuer.text for issuer in issuers}
