"""Claims of one key by several."""

from __future__ import annotations

from controlplane.graph.claims import Claims


def test_claims_come_and_go() -> None:
    claims: Claims[str] = Claims()
    assert claims.replace("a", (), ("x", "y")) == {"x", "y"}
    assert claims.replace("b", (), ("y",)) == {"y"}
    assert claims.of("y") == {"a", "b"}
    assert claims.replace("a", ("x", "y"), ("y", "z")) == {"x", "y", "z"}
    assert (claims.of("x"), claims.of("y"), claims.of("z")) == (set(), {"a", "b"}, {"a"})


def test_nothing_is_kept_of_what_nobody_claims() -> None:
    claims: Claims[int] = Claims()
    for number in range(100):
        claims.replace(number, (), (str(number),))
        claims.replace(number, (str(number),), ())
    assert claims._claimants == {}
