from __future__ import annotations

from random import Random
from typing import Any

import pytest

from injector.api.access import Access
from injector.webhook.judgement import Namespace
from injector.webhook.namespaces import Expired, Namespaces


def make(name: str, version: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version, **metadata}}


async def test_events_of_the_watch() -> None:
    namespaces = Namespaces(Access(None), Random(1))
    assert namespaces.take({"type": "ADDED", "object": make("a", "7", labels={"x": "1"})}) == "7"
    assert namespaces.take({"type": "MODIFIED", "object": make("a", "8", annotations={"y": "2"})}) == "8"
    assert namespaces.take({"type": "ADDED", "object": make("b", "9")}) == "9"
    assert namespaces.take({"type": "DELETED", "object": make("b", "10")}) == "10"
    assert namespaces.take({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "11"}}}) == "11"
    assert len(namespaces) == 1
    assert await namespaces.find("a") == Namespace({}, {"y": "2"})


@pytest.mark.parametrize("event", [{"type": "ERROR", "object": {"code": 410}}, {"type": "ADDED"}, {}])
def test_what_the_watch_cannot_go_on_from_leads_to_a_list(event: dict[str, Any]) -> None:
    with pytest.raises(Expired):
        Namespaces(Access(None), Random(1)).take(event)
