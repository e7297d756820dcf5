from __future__ import annotations

from controlplane.discovery.refusals import LINES_MAX, PERIOD_S, Refusals
from controlplane.discovery.stream import Nack
from controlplane.translate.resource import CDS


def nack(node: str) -> Nack:
    return Nack(node, CDS, 1, ("a", "b"), "no")


def test_a_client_has_one_line_a_period_and_the_rest_is_counted() -> None:
    refusals = Refusals()
    assert refusals.lines([nack("a"), nack("a"), nack("b")], 3, 100.0) == [
        "refused by a: Cluster a, b: no",
        "refused by b: Cluster a, b: no",
    ]
    assert refusals.lines([nack("a")], 10, 100.0 + PERIOD_S - 1) == []
    assert refusals.lines([nack("a")], 11, 100.0 + PERIOD_S) == [
        "refused by clients: and 8 more; /debug/config shows the last of them",
        "refused by a: Cluster a, b: no",
    ]
    assert refusals.lines([], 11, 100.0 + 2 * PERIOD_S) == []


def test_who_changes_its_name_writes_no_more() -> None:
    refusals = Refusals()
    lines = [line for number in range(1000) for line in refusals.lines([nack(str(number))], number + 1, 0.0)]
    assert len(lines) == LINES_MAX
