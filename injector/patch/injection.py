"""Injection: from a pod to the pod with the sidecar, or to the reason why it stays without.

Invariant: what is there already is not added again, so a second injection changes nothing. But a pod that the webhook
has injected is judged anew when it comes again, since the API server asks again where another webhook has changed it:
the last word is that of the pod as it will be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from injector.patch.addition import add
from injector.patch.bounds import check_size
from injector.patch.completion import complete
from injector.patch.fields import Fields, Refusal, read_fields, read_items, read_texts
from injector.patch.outcome import Outcome, Verdict
from injector.patch.place import Place
from injector.patch.probes import Rewriting
from injector.patch.reasons import ALREADY, Reason, check_network, find_conflict, find_mirror, find_reason, has_sidecar
from injector.patch.record import read_record
from injector.patch.removal import remove_sidecar
from injector.patch.settings import Settings
from injector.patch.warnings import find_warnings
from injector.patch.wishes import read_opinion, read_wishes
from mesh.version import VERSION


def inject(pod: Fields, place: Place, settings: Settings) -> Outcome:
    """`pod` is a pod or a pod template. It is not changed."""
    try:
        return _inject(pod, place, settings)
    except Refusal as refusal:
        sentence = str(refusal)
    except RecursionError:
        sentence = "it is nested too deeply"
    return Outcome(Verdict.REFUSED, pod, pod, "refused", sentence)


def _inject(pod: Fields, place: Place, settings: Settings) -> Outcome:
    metadata, spec = read_fields(pod, "metadata"), read_fields(pod, "spec")
    annotations, labels = (read_texts(metadata, name, "metadata.") for name in ("annotations", "labels"))
    if not read_items(spec, "containers", "spec."):
        raise Refusal("spec.containers must have a container")
    check_network(spec)
    check_size(spec, annotations, labels)
    if has_sidecar(spec) and (asked := find_asked(annotations)):
        return _judge_anew(pod, place, settings, asked)
    return _judge(pod, place, settings, annotations, labels)


def _judge(
    pod: Fields, place: Place, settings: Settings, annotations: Mapping[str, str], labels: Mapping[str, str]
) -> Outcome:
    spec: Fields = pod["spec"]
    opinions = read_opinion(annotations, "annotation"), read_opinion(labels, "label")
    reason = find_mirror(annotations) or find_reason(spec, opinions, place, settings)
    if reason is not None and reason is not ALREADY:
        return _skip(pod, reason)
    wishes = read_wishes(annotations, place.annotations, settings.defaults, settings.locked)
    if reason is ALREADY:
        return complete(pod, wishes, read_record(annotations))
    if conflict := find_conflict(spec, wishes):
        return _skip(pod, conflict)
    rewriting = Rewriting()
    after = add(pod, place, wishes, settings, rewriting)
    warnings = (*find_warnings(pod, place, wishes, settings), *rewriting.warnings)
    return Outcome(Verdict.INJECTED, pod, after, warnings=warnings)


def find_asked(annotations: Mapping[str, str]) -> str:
    """What the webhook of this version went by when it put the sidecar in; nothing if it did not."""
    try:
        record = read_record(annotations)
    except Refusal:
        return ""  # whether that matters is for those who need the record
    return record.asked if record.version == VERSION else ""


def _judge_anew(pod: Fields, place: Place, settings: Settings, asked: str) -> Outcome:
    """As if it had come without the sidecar. Where that comes to the same, only what is new is led to the sidecar."""
    bare = remove_sidecar(pod)
    metadata = read_fields(bare, "metadata")
    annotations, labels = (read_texts(metadata, name, "metadata.") for name in ("annotations", "labels"))
    outcome = _judge(bare, place, settings, annotations, labels)
    if outcome.verdict is Verdict.INJECTED:
        after = read_fields(read_fields(outcome.after, "metadata"), "annotations")
        if find_asked(after) == asked:
            wishes = read_wishes(annotations, place.annotations, settings.defaults, settings.locked)
            return complete(pod, wishes, read_record(read_texts(pod["metadata"], "annotations")))
    return replace(outcome, before=pod)


def _skip(pod: Fields, reason: Reason) -> Outcome:
    return Outcome(Verdict.SKIPPED, pod, pod, *reason)
