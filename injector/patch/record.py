"""What the injector keeps in the pod, as the annotation `gossamer.mesh/injected`, so that its work can be undone.

Invariant: what is added is known by its name, so the record has only what else would be lost: the probes as they were,
and members that were there without content (`volumes: []`), which Kubernetes drops and a manifest's author may like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from injector.patch.fields import Fields, Refusal, change_member, read_fields
from mesh.contract import INJECTED

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class Record:
    """`probes` by CONTAINER/KIND as in the path that they are asked at; `emptied` by the member's name.

    `named_default` says that we told kubectl which container is meant if none is named; `opaque_ports` are those that
    we told of the pod. `asked` stands for all that the webhook went by, so that another review of the same pod can tell
    whether another webhook has had a word since; what people write out by hand has none.
    """

    version: str = ""
    probes: Mapping[str, Fields] = field(default_factory=dict)
    emptied: Mapping[str, Any] = field(default_factory=dict)
    named_default: bool = False
    opaque_ports: str | None = None
    asked: str = ""

    def encode(self) -> str | None:
        """None where there is nothing to keep."""
        kept = {
            "version": self.version,
            "probes": self.probes,
            "emptied": self.emptied,
            "namedDefault": self.named_default,
            "asked": self.asked,
        }
        kept = {name: value for name, value in kept.items() if value}
        if self.opaque_ports is not None:
            kept["opaquePorts"] = self.opaque_ports
        return json.dumps(kept, separators=(",", ":"), ensure_ascii=False) if kept else None


def read_record(annotations: Mapping[str, str]) -> Record:
    text = annotations.get(INJECTED)
    if not text:
        return Record()
    try:
        kept = json.loads(text)
        if not isinstance(kept, dict):
            raise ValueError(text)
        return Record(
            str(kept.get("version", "")),
            {name: read_fields(kept["probes"], name) for name in read_fields(kept, "probes")},
            read_fields(kept, "emptied"),
            kept.get("namedDefault") is True,
            None if (ports := kept.get("opaquePorts")) is None else str(ports),
            str(kept.get("asked", "")),
        )
    except (ValueError, RecursionError, Refusal):
        raise Refusal(
            f"annotation {INJECTED} cannot be read, so what it undoes is lost: restore it, or remove it and the "
            "sidecar's containers by hand"
        ) from None


def keep(before: Fields, after: Fields, record: Record) -> Fields:
    """The pod after a change with the record of it, or without one if there is nothing to keep."""
    for _ in range(2):  # the record itself may be what fills the annotations
        emptied = {name: value for name, value in find_empty(before).items() if name not in find_empty(after)}
        after = annotate(after, INJECTED, replace(record, emptied=emptied).encode())
    return after


# Where the members are that a change may give their first content.
_HOLDERS = {
    "metadata": "",
    "annotations": "metadata",
    "labels": "metadata",
    "initContainers": "spec",
    "volumes": "spec",
}


def find_empty(pod: Fields) -> Fields:
    """Members that are there, but without content."""
    found = {}
    for name, holder in _HOLDERS.items():
        fields = read_fields(pod, holder) if holder else pod
        if name in fields and not fields[name]:
            found[name] = fields[name]
    return found


def refill(pod: Fields, emptied: Mapping[str, Any], like: Fields) -> Fields:
    """The members without content again, as far as they are not there with some, and where they are in `like`."""
    for name, holder in _HOLDERS.items():
        if name in emptied:
            if holder:
                fields = add_empty(pod.get(holder) or {}, name, emptied[name], like.get(holder) or {})
                pod = {**pod, holder: fields}
            else:
                pod = add_empty(pod, name, emptied[name], like)
    return pod


def add_empty(fields: Fields, name: str, value: Any, like: Fields) -> Fields:
    if fields.get(name):
        return fields
    after = {**fields, name: value}
    return {key: after[key] for key in dict.fromkeys((*like, *after)) if key in after}


def annotate(pod: Fields, name: str, text: str | None) -> Fields:
    """Set an annotation; None takes it away."""
    return set_text(pod, "annotations", name, text)


def set_text(pod: Fields, member: str, name: str, text: str | None) -> Fields:
    """An annotation or a label, None for none; what that leaves empty goes too."""

    def change(before: Fields | None) -> Fields | None:
        texts = before or {}
        if texts.get(name) == text:
            return before
        rest = {key: value for key, value in texts.items() if key != name}
        return rest or None if text is None else {**texts, name: text}

    def change_metadata(before: Fields | None) -> Fields | None:
        metadata = {} if before is None else before
        after = change_member(metadata, member, change)
        return before if after is metadata else after or None

    return change_member(pod, "metadata", change_metadata)
