"""The wire: an AdmissionReview of `admission.k8s.io/v1` from bytes to what is asked, and the answer back to bytes.

Pure. The peer is the API server, or whoever else reaches the port: nothing is taken for granted, and what is no review
is Malformed, with a sentence.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
MAX_BYTES: Final = 8 << 20  # a request of 3 MiB, the API server's limit, and what escapes such as \\u003c add to it
VALUES_MAX: Final = 150_000  # a pod has some hundreds
NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VALUE_BYTES: Final = 120
_UID_CHARS: Final = 128
_WARNING_CHARS: Final = 256  # longer ones the API server cuts off, and it wants 4096 for all at most
_WARNINGS: Final = 8


class Malformed(Exception):
    """What came is no review; the text says why."""


@dataclass(frozen=True, slots=True)
class Review:
    """`pod` is None where the review is of something else, of which nothing is to be said."""

    uid: str
    namespace: str
    is_dry_run: bool
    pod: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """`refusal` is why the pod may not be made, if it may not."""

    uid: str
    patch: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[str] = ()
    refusal: str = ""


def weigh(body: bytes | bytearray) -> int:
    """How much memory it takes to decode it, at most. Raises Malformed where that is beyond all reason.

    A value begins an object or a list, or follows a comma; a text is as wide as its widest character.
    """
    values = sum(map(body.count, (b"{", b"[", b",")))
    if values > VALUES_MAX:
        raise Malformed(f"the body has more than {VALUES_MAX} values")
    is_wide = b"\\u" in body or not body.isascii()
    return len(body) * (4 if is_wide else 1) + values * _VALUE_BYTES


def decode(body: bytes | bytearray) -> Review:
    """Raises Malformed."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the body is no JSON") from None
    if not isinstance(raw, dict) or raw.get("kind") != KIND:
        raise Malformed(f"the body is no {KIND}")
    if raw.get("apiVersion") != VERSION:
        raise Malformed(f"the review is not of {VERSION}, the only version that is spoken here")
    request = raw.get("request")
    if not isinstance(request, dict):
        raise Malformed("the review has no request")
    uid, namespace = request.get("uid"), request.get("namespace", "")
    if not isinstance(uid, str) or not 0 < len(uid) <= _UID_CHARS:
        raise Malformed("the request has no valid uid")
    pod = read_pod(request)
    if not isinstance(namespace, str) or not (NAMESPACE.fullmatch(namespace) or (pod is None and not namespace)):
        raise Malformed("the request has no valid namespace")
    return Review(uid, namespace, request.get("dryRun") is True, pod)


def read_pod(request: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = request.get("kind")
    if not isinstance(kind, dict) or (kind.get("group"), kind.get("kind")) != ("", "Pod"):
        return None
    if request.get("operation") != "CREATE" or request.get("subResource"):
        return None
    pod = request.get("object")
    if not isinstance(pod, dict):
        raise Malformed("the request has no object")
    return pod


def encode(answer: Answer) -> bytes:
    response: dict[str, Any] = {"uid": answer.uid, "allowed": not answer.refusal}
    if answer.refusal:
        response["status"] = {"code": 422, "reason": "Invalid", "message": answer.refusal}
    if answer.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(answer.patch, separators=(",", ":")).encode()).decode()
    if answer.warnings:
        response["warnings"] = [shorten(warning) for warning in answer.warnings[:_WARNINGS]]
    return json.dumps({"apiVersion": VERSION, "kind": KIND, "response": response}, separators=(",", ":")).encode()


def shorten(warning: str) -> str:
    return warning if len(warning) <= _WARNING_CHARS else f"{warning[: _WARNING_CHARS - 3]}..."
