"""The way back, from a pod with the sidecar to the one that its author wrote; and the label that asks for a sidecar.

What was added is known by its name, whoever changed the pod meanwhile; the rest is in the record.
"""

from __future__ import annotations

from typing import Any

from injector.patch.containers import OUR_VOLUMES
from injector.patch.fields import Fields, Refusal, change_member, read_fields, read_items, read_texts
from injector.patch.outcome import Outcome, Verdict
from injector.patch.probes import restore
from injector.patch.reasons import OUR_CONTAINERS, has_sidecar
from injector.patch.record import DEFAULT_CONTAINER, Record, annotate, keep, read_record, refill, set_text
from mesh.contract import ENABLED, INJECT, INJECTED
from mesh.ports import OPAQUE_PORTS

_OURS = {"initContainers": OUR_CONTAINERS, "containers": OUR_CONTAINERS, "volumes": OUR_VOLUMES}


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
    if read_texts(read_fields(pod, "metadata"), "labels", "metadata.").get(INJECT) != ENABLED:
        return remove_sidecar(pod)
    return remove_sidecar(pod, set_text(pod, "labels", INJECT, None))


def remove_sidecar(pod: Fields, after: Fields | None = None) -> Fields:
    """What injection added to the pod. `after` is the pod as far as it has been changed already."""
    metadata = read_fields(pod, "metadata")
    annotations = read_texts(metadata, "annotations", "metadata.")
    record = read_record(annotations)
    after = change_member(after or pod, "spec", lambda spec: spec and remove_from_spec(spec, record))
    if record.named_default:
        after = annotate(after, DEFAULT_CONTAINER, None)
    if record.opaque_ports is not None and annotations.get(OPAQUE_PORTS) == record.opaque_ports:
        after = annotate(after, OPAQUE_PORTS, None)
    return refill(annotate(after, INJECTED, None), record.emptied, pod)


def remove_from_spec(spec: Fields, record: Record) -> Fields:
    if not (record.version or has_sidecar(spec)):
        return spec  # what is called as ours are called is the user's own
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
