from __future__ import annotations

import base64
import json
import tracemalloc
from typing import Any

import pytest

from injector.webhook.review import VALUES_MAX, Answer, Malformed, Review, decode, encode, weigh

POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "app"}]}}


def make_review(**changes: Any) -> bytes:
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "shop",
        "operation": "CREATE",
        "object": POD,
        "dryRun": False,
    }
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**request, **changes}}
    ).encode()


def test_a_review_of_a_pod() -> None:
    assert decode(make_review()) == Review("u-1", "shop", False, POD)
    assert decode(make_review(dryRun=True)).is_dry_run


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": "UPDATE"},
        {"operation": "DELETE", "object": None},
        {"subResource": "ephemeralcontainers"},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": None},
        {"kind": {"group": "", "version": "v1", "kind": "Node"}, "namespace": ""},
    ],
)
def test_of_anything_else_nothing_is_said(changes: dict[str, Any]) -> None:
    assert decode(make_review(**changes)).pod is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no AdmissionReview"),
        (b'{"kind": "Pod"}', "no AdmissionReview"),
        (make_review().replace(b"k8s.io/v1", b"k8s.io/v1beta1"), "not of admission.k8s.io/v1,"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": []}', "no request"),
        (make_review(uid=""), "no valid uid"),
        (make_review(uid=7), "no valid uid"),
        (make_review(uid="u" * 200), "no valid uid"),
        (make_review(namespace=["shop"]), "no valid namespace"),
        (make_review(namespace=""), "no valid namespace"),
        (make_review(namespace="../../version?"), "no valid namespace"),
        (make_review(namespace="Shop"), "no valid namespace"),
        (make_review(namespace="shop\n"), "no valid namespace"),
        (make_review(namespace="s" * 64), "no valid namespace"),
        (make_review(object=None), "no object"),
        (make_review(object="pod"), "no object"),
    ],
)
def test_what_is_no_review_is_refused_with_a_sentence(body: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        decode(body)


@pytest.mark.parametrize(
    "filling",
    ["{},", "[],", '{"":0},', '{"ab":0.5},', "[[0]],", '"ab",', "1.5,", '"\\ud83d\\ude00%s",' % ("a" * 10_000)],
)
def test_what_decoding_takes_is_foreseen(filling: str) -> None:
    size = min(1 << 20, (VALUES_MAX - 2) * len(filling) // sum(map(filling.count, "{[,")))
    body = ("[" + filling * (size // len(filling)) + "0]").encode()
    tracemalloc.start()
    try:
        value = json.loads(body)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert value
    assert held <= weigh(body)


def test_what_has_too_many_values_is_not_decoded() -> None:
    weigh(b"[" + b"0," * (VALUES_MAX - 1) + b"0]")
    with pytest.raises(Malformed, match="more than 150000 values"):
        weigh(b"[" + b"0," * VALUES_MAX + b"0]")


def test_an_answer_with_a_patch() -> None:
    patch = [{"op": "add", "path": "/spec/volumes", "value": []}]
    review = json.loads(encode(Answer("u-1", patch, ["mind this"])))
    assert (review["apiVersion"], review["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = review["response"]
    assert json.loads(base64.b64decode(response.pop("patch"))) == patch
    assert response == {"uid": "u-1", "allowed": True, "patchType": "JSONPatch", "warnings": ["mind this"]}


def test_an_answer_without_a_patch_says_no_patch_type() -> None:
    assert json.loads(encode(Answer("u-1")))["response"] == {"uid": "u-1", "allowed": True}


def test_a_refusal_has_its_sentence() -> None:
    response = json.loads(encode(Answer("u-1", refusal="no such thing")))["response"]
    assert response["allowed"] is False
    assert response["status"] == {"code": 422, "reason": "Invalid", "message": "no such thing"}


def test_warnings_are_few_and_short() -> None:
    response = json.loads(encode(Answer("u-1", warnings=["w" * 1000] * 50)))["response"]
    assert len(response["warnings"]) == 8
    assert {len(warning) for warning in response["warnings"]} == {256}
