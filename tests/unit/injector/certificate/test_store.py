from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from injector.certificate.pair import make_pair
from injector.certificate.store import OURS, Foreign, Store, read_store

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
    with pytest.raises(Foreign, match="it holds password, which is not ours"):
        read_store(make_secret({"password": "c2VjcmV0"}, is_ours=False))
    assert read_store(make_secret({"password": "c2VjcmV0"}))[0] == Store()
    assert read_store(make_secret(None, is_ours=False))[0] == Store()
