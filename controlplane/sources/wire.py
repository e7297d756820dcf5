"""What the Kubernetes API sends: pages of a list, lines of a watch, and its errors; from bytes to checked values.

Nothing of it is trusted: a proxy or a broken API server may answer anything with status 200, and a list that is not
what was asked for would empty the mesh. Objects stay raw here; `Inventory` reads them.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from controlplane.model.objects import PODS, SERVICES, SLICES

ADDED, MODIFIED, DELETED, BOOKMARK = "ADDED", "MODIFIED", "DELETED", "BOOKMARK"
_CHANGES = (ADDED, MODIFIED, DELETED)
_MAX_TEXT_CHARS = 300

# By the kind's plural: the folder of its paths, and what the API calls a list of it.
PLACES = {
    SERVICES: ("/api/v1", "ServiceList"),
    SLICES: ("/apis/discovery.k8s.io/v1", "EndpointSliceList"),
    PODS: ("/api/v1", "PodList"),
}


class Garbage(Exception):
    """An answer that is no answer of the Kubernetes API; the text says what is wrong with it."""


class Page(NamedTuple):
    """A part of a list. `version` is that of the whole list; `token` asks for the next part, empty after the last."""

    items: list[Any]
    version: str
    token: str


class Event(NamedTuple):
    """One line of a watch. For a BOOKMARK only `version` counts."""

    type: str
    item: dict[str, Any]
    version: str


class Refusal(Exception):
    """The API's own answer that it will not or cannot: `code` as in HTTP, whether by status line or in a watch."""

    def __init__(self, code: int, text: str, retry_after_s: float = 0) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.retry_after_s = retry_after_s


def make_path(kind: str, namespace: str | None) -> str:
    folder = PLACES[kind][0]
    return f"{folder}/namespaces/{namespace}/{kind}" if namespace else f"{folder}/{kind}"


def decode_page(kind: str, body: bytes) -> Page:
    raw = _decode(body)
    expected = PLACES[kind][1]
    if raw.get("kind") != expected:
        raise Garbage(f"{_cut(str(raw.get('kind')))} came in place of {expected}")
    items = [] if "items" in raw and raw["items"] is None else raw.get("items")  # Go writes an empty list as null too
    metadata = raw.get("metadata")
    if not isinstance(items, list) or not isinstance(metadata, dict):
        raise Garbage(f"{expected} has no list of items")
    token = metadata.get("continue") or ""
    if not isinstance(token, str):
        raise Garbage(f"{expected} has no valid continue token")
    return Page(items, _read_version(metadata), token)


def decode_event(line: bytes) -> Event:
    """The event in a line of a watch; raises Refusal for the API's ERROR event."""
    raw = _decode(line)
    kind, item = raw.get("type"), raw.get("object")
    if not isinstance(item, dict):
        raise Garbage("an event has no object")
    if kind == "ERROR":
        raise read_status(item)
    metadata = item.get("metadata")
    if kind not in (*_CHANGES, BOOKMARK) or not isinstance(metadata, dict):
        raise Garbage(f"an event of the unknown type {_cut(str(kind))}")
    return Event(str(kind), item, _read_version(metadata))


def decode_refusal(code: int, body: bytes, retry_after: str) -> Refusal:
    """The error in an answer whose status is not 200; its text is the API's own where it has one."""
    retry_after_s = int(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 6 else 0
    try:
        text = read_status(_decode(body)).text
    except Garbage:
        text = _cut(body.decode("utf-8", "replace").strip())
    return Refusal(code, f"{code}: {text}" if text else str(code), retry_after_s)


def read_status(raw: dict[str, Any]) -> Refusal:
    """A Status object. One without a usable code is as good as 500."""
    code = raw.get("code")
    details = raw.get("details")
    retry_after_s = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    return Refusal(
        code if isinstance(code, int) else 500,
        _cut(str(raw.get("message") or raw.get("reason") or "")),
        retry_after_s if isinstance(retry_after_s, int) and retry_after_s > 0 else 0,
    )


def _decode(body: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise Garbage("what came is no JSON") from None
    if not isinstance(raw, dict):
        raise Garbage("what came is no JSON object")
    return raw


def _read_version(metadata: dict[str, Any]) -> str:
    """Opaque to us: it is only ever given back to the API."""
    version = metadata.get("resourceVersion")
    if not isinstance(version, str) or not version:
        raise Garbage("a resourceVersion is missing")
    return version


def _cut(text: str) -> str:
    """Short, and without what would move a terminal's cursor."""
    text = "".join(char if char.isprintable() else " " for char in text[: _MAX_TEXT_CHARS + 1])
    return text if len(text) <= _MAX_TEXT_CHARS else text[:_MAX_TEXT_CHARS] + "..."
