"""What the API sends, and what only looks like it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.model.objects import PODS, SERVICES, SLICES
from controlplane.sources.wire import (
    Event,
    Garbage,
    Page,
    Refusal,
    decode_event,
    decode_page,
    decode_refusal,
    make_path,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "object", "metadata", "items", "code", "kind", "x"]), values)
    ),
    max_leaves=10,
)


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def page(**fields: Any) -> bytes:
    return encode({"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [], **fields})


def test_paths_follow_the_api() -> None:
    assert make_path(PODS, None) == "/api/v1/pods"
    assert make_path(SERVICES, "shop") == "/api/v1/namespaces/shop/services"
    assert make_path(SLICES, "shop") == "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"


def test_a_page_with_and_without_a_next_one() -> None:
    assert decode_page(PODS, page(items=[{"a": 1}])) == Page([{"a": 1}], "7", "")
    more = page(metadata={"resourceVersion": "7", "continue": "xyz"})
    assert decode_page(PODS, more) == Page([], "7", "xyz")
    assert decode_page(PODS, page(items=None)).items == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in</html>",
        b"[]",
        b'{"kind": "PodList"}',
        page()[:-1],
        page(kind="ServiceList"),
        page(items={}),
        page().replace(b"items", b"item"),
        page(metadata={"resourceVersion": 7}),
        page(metadata={"resourceVersion": ""}),
        page(metadata={"resourceVersion": "7", "continue": 1}),
        b"[" * 100_000,
        b'{"kind": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_list_of_the_kind_never_empties_the_mesh(body: bytes) -> None:
    with pytest.raises(Garbage):
        decode_page(PODS, body)


def test_events_carry_the_version_to_go_on_from() -> None:
    item = {"metadata": {"name": "a", "resourceVersion": "9"}}
    assert decode_event(encode({"type": "ADDED", "object": item})) == Event("ADDED", item, "9")
    bookmark = {"kind": "Pod", "metadata": {"resourceVersion": "10"}}
    assert decode_event(encode({"type": "BOOKMARK", "object": bookmark})).version == "10"


def test_an_error_event_is_a_refusal() -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (9)"}
    with pytest.raises(Refusal, match="too old") as caught:
        decode_event(encode({"type": "ERROR", "object": status}))
    assert caught.value.code == 410
    with pytest.raises(Refusal) as caught:
        decode_event(encode({"type": "ERROR", "object": {"code": "nonsense"}}))
    assert caught.value.code == 500


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\x00\x01",
        b'{"type": "ADDED"}',
        b'{"type": "ADDED", "object": {}}',
        b'{"type": "ADDED", "object": {"metadata": {}}}',
        b'{"type": "RENAMED", "object": {"metadata": {"resourceVersion": "1"}}}',
        b'{"type": [], "object": {"metadata": {"resourceVersion": "1"}}}',
    ],
)
def test_a_line_that_is_no_event(line: bytes) -> None:
    with pytest.raises(Garbage):
        decode_event(line)


@given(JSON_VALUES)
def test_no_json_makes_the_decoders_fail_otherwise(value: object) -> None:
    for decode in (decode_event, lambda body: decode_page(PODS, body)):
        try:
            decode(encode(value))
        except (Garbage, Refusal):
            pass
    assert decode_refusal(503, encode(value), "").code == 503


def test_a_refusal_keeps_the_apis_words_and_its_retry_after() -> None:
    status = {"kind": "Status", "message": "pods is forbidden", "code": 403}
    refusal = decode_refusal(403, encode(status), "")
    assert (refusal.code, refusal.text, refusal.retry_after_s) == (403, "403: pods is forbidden", 0)
    assert decode_refusal(429, b"slow down\x1b[2J", "17").text == "429: slow down [2J"
    assert decode_refusal(429, b"", "17").retry_after_s == 17
    for strange in ("Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9", "9" * 400, "²"):
        assert decode_refusal(429, b"", strange).retry_after_s == 0
    assert len(decode_refusal(500, b"x" * 9_999, "").text) < 400
