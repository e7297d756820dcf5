from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from injector.certificate.bundle import WebhookConfiguration
from injector.certificate.pair import make_pair

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO, THREE = (make_pair(("a.b.svc",), NOW, 60).authority for _ in range(3))


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def make(*bundles: str | None) -> WebhookConfiguration:
    webhooks = [{"clientConfig": {} if bundle is None else {"caBundle": bundle}} for bundle in bundles]
    return WebhookConfiguration({"metadata": {"resourceVersion": "7"}, "webhooks": webhooks})


def apply(patch: list[dict[str, Any]], at: int) -> str:
    (change,) = [change for change in patch if change["path"] == f"/webhooks/{at}/clientConfig/caBundle"]
    return base64.b64decode(change["value"]).decode()


def test_a_patch_is_of_the_version_that_was_read() -> None:
    assert make(None).make_patch([ONE])[0] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}


def test_only_what_differs_is_patched() -> None:
    patch = make(encode(ONE + TWO), None, encode(ONE)).make_patch([TWO, ONE])
    assert [change["path"] for change in patch[1:]] == [f"/webhooks/{at}/clientConfig/caBundle" for at in (1, 2)]
    assert {apply(patch, 1), apply(patch, 2)} == {"".join(sorted([ONE, TWO]))}


def test_nothing_is_patched_where_all_is_there() -> None:
    assert make(encode(TWO + "\n\n" + ONE), encode(ONE.strip() + "\n" + TWO)).make_patch([ONE, TWO]) == []


def test_what_is_no_bundle_is_replaced() -> None:
    for bundle in ("", "%%%", encode("none"), encode(ONE + "rest"), encode(ONE + THREE)):
        assert apply(make(bundle).make_patch([ONE]), 0) == ONE


def test_every_bundle_must_hold_all() -> None:
    assert make(encode(ONE + TWO), encode(TWO + THREE + ONE)).holds([ONE, TWO])
    assert not make(encode(ONE + TWO), encode(TWO)).holds([ONE, TWO])
    assert not make(encode(ONE), None).holds([ONE])
    assert not make().holds([ONE])


def test_a_text_may_hold_several_authorities() -> None:
    configuration = make(encode(ONE + TWO))
    assert configuration.holds([TWO + ONE])
    assert configuration.make_patch([TWO + ONE]) == []


def test_the_authorities_of_all_bundles_are_told_without_what_is_none() -> None:
    configuration = make(encode(ONE + TWO), None, encode(THREE + "rest"), encode("-----BEGIN CERTIFICATE-----"), "%%%")
    assert configuration.authorities() == {text.strip() for text in (ONE, TWO, THREE)}
