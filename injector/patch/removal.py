"""The way back, from a pod with the sidecar to the one that its author wrote; and the label that asks for a sidecar.

What was added is known by its name, whoever changed the pod meanwhile; the rest is in the record.
"""

from __future__ import annotations

from typing import Any

from injector.patch.containers import IDENTITY_VOLUME, RUN_VOLUME
from injector.patch.fields import Fields, Refusal, change_member, read_fields, read_items, read_texts
from injector.patch.injection import DEFAULT_CONTAINER
from injector.patch.outcome import Outcome, Verdict
from injector.patch.probes import restore
from injector.patch.reasons import OUR_CONTAINERS
from injector.patch.record import Record, annotate, keep, read_record, refill, set_text
from mesh.contract import ENABLED, INJECT, INJECTED

_OURS = {"initContainers": OUR_CONTAINERS, "containers": OUR_CONTAINERS, "volumes": (RUN_VOLUME, IDENTITY_VOLUME)}


def ask_for_sidecar(labelled: Fields) -> Fields:
    """The pod, pod template or namespace with the label that the webhook looks for; itself if it has it."""
    after = set_text(labelled, "labels", INJECT, ENABLED)
    return labelled if after is labelled else keep(labelled, after, Record())


def uninject(pod: Fields) -> Outcome:
    """The pod without the sidecar, and without the label that asks for one."""
    try:
        after = remove(pod)
    except Refusal as refusal:
        return Outcome(Verdict.REFUSED, pod, pod, "refused", str(refusal))
    if after is pod:
        return Outcome(Verdict.SKIPPED, pod, pod, "absent", "it has no sidecar and asks for none")
    return Outcome(Verdict.REMOVED, pod, after)


def remove(pod: Fields) -> Fields:
    metadata = read_fields(pod, "metadata")
    record = read_record(read_texts(metadata, "annotations", "metadata."))
    after = change_member(pod, "spec", lambda spec: spec and remove_from_spec(spec, record))
    if read_texts(metadata, "labels", "metadata.").get(INJECT) == ENABLED:
        after = set_text(after, "labels", INJECT, "")
    if record.named_default:
        after = annotate(after, DEFAULT_CONTAINER, "")
    return refill(annotate(after, INJECTED, ""), record.emptied, pod)


def remove_from_spec(spec: Fields, record: Record) -> Fields:
    for name, ours in _OURS.items():
        items = read_items(spec, name, "spec.")
        rest: Any = [item for item in items if item.get("name") not in ours]
        if len(rest) < len(items):
            others = {key: value for key, value in spec.items() if key != name}
            spec = {**spec, name: rest} if rest else others
    for name in ("initContainers", "containers"):
        if theirs := read_items(spec, name, "spec."):
            after = restore(theirs, record.probes)
            spec = spec if after is theirs else {**spec, name: after}
    return spec
