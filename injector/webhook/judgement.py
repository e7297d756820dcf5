"""What becomes of a reviewed pod: the answer, and what is to be told of it. Pure; the patch is `injector.patch`'s.

A pod that gets no sidecar for a reason is let through as it is. One whose annotations make no sense is refused with a
sentence, whatever the failure policy: it is that of a webhook that does not answer, and a typing error must not quietly
take a workload out of the mesh.

Reviews come before the API server validates a pod, and whoever reaches the port can make one up: what names the object
of an Event has the form of a name, or nothing is told; and an Event's text is short.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from injector.patch import Outcome, Place, Settings, Verdict, inject
from injector.patch.reasons import find_namespace
from injector.webhook.review import Answer, Review

# Reasons of injector.patch.reasons that mean something here.
ALREADY, NOT_ASKED, NEVER = "already", "not-asked", "namespace"
# Told by another review of this pod; asked by nobody; asked of us by strangers alone, who would write Events there.
_UNTOLD: Final = (ALREADY, NOT_ASKED, NEVER)
_PART_CHARS: Final = 300  # of a sentence
_MESSAGE_CHARS: Final = 1000  # the API takes 1024
_NAME_CHARS: Final = 253  # of any of these
_FORMS: Final = {
    "apiVersion": re.compile(r"([a-z0-9.-]{1,189}/)?[a-z0-9]{1,63}"),
    "kind": re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}"),
    "name": re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"),
    "uid": re.compile(r"[A-Za-z0-9-]{0,128}"),
}


class Namespace(NamedTuple):
    """What is known of one; without anything known both are empty."""

    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}


class About(NamedTuple):
    """The object that an Event is about; `uid` is empty where it is not known."""

    namespace: str
    api_version: str
    kind: str
    name: str
    uid: str = ""


class Happening(StrEnum):
    """The reasons of Events."""

    INJECTED = "Injected"
    SKIPPED = "InjectionSkipped"
    FAILED = "InjectionFailed"


_HAPPENINGS = {
    Verdict.INJECTED: Happening.INJECTED,
    Verdict.SKIPPED: Happening.SKIPPED,
    Verdict.REFUSED: Happening.FAILED,
}


class Note(NamedTuple):
    """What is told of a review."""

    about: About
    happening: Happening
    message: str


def judge(review: Review, pod: dict[str, Any], namespace: Namespace, settings: Settings) -> Outcome:
    owner = find_owner(review, pod)
    place = Place(review.namespace, namespace.labels, namespace.annotations, owner.kind if owner else "")
    if reason := find_namespace(place, settings):  # before anything of the pod is looked at
        return Outcome(Verdict.SKIPPED, pod, pod, *reason)
    return inject(pod, place, settings)


def make_answer(review: Review, outcome: Outcome) -> Answer:
    if outcome.verdict is Verdict.REFUSED:
        return Answer(review.uid, refusal=f"gossamer cannot put its sidecar in: {outcome.sentence}")
    return Answer(review.uid, outcome.patch(), outcome.warnings)


def make_note(review: Review, outcome: Outcome) -> Note | None:
    """None on a dry run, where there is nobody to tell it of, and where nobody needs to be told."""
    about = find_owner(review, outcome.before)
    if review.is_dry_run or about is None or outcome.reason in _UNTOLD:
        return None
    happening = _HAPPENINGS[outcome.verdict]
    if happening is Happening.SKIPPED:
        parts = [f"no sidecar: {outcome.sentence}"]
    else:
        parts = [outcome.sentence or "the sidecar is put in", *outcome.warnings]
    return Note(about, happening, "; ".join(part[:_PART_CHARS] for part in parts)[:_MESSAGE_CHARS])


def make_failure_note(review: Review, message: str) -> Note | None:
    """Of a review that came to no answer."""
    about = find_owner(review, review.pod or {})
    return None if review.is_dry_run or about is None else Note(about, Happening.FAILED, message[:_MESSAGE_CHARS])


def find_owner(review: Review, pod: Mapping[str, Any]) -> About | None:
    """The controller that made the pod; without one the pod itself, if it has a name yet."""
    metadata = pod.get("metadata")
    if not isinstance(metadata, dict):
        return None
    if (reference := find_controller(metadata)) is not None:
        return read_about(review.namespace, reference)
    return read_about(review.namespace, {"apiVersion": "v1", "kind": "Pod", "name": metadata.get("name"), "uid": ""})


def find_controller(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    references = metadata.get("ownerReferences")
    for reference in references if isinstance(references, list) else []:
        if isinstance(reference, dict) and reference.get("controller") is True:
            return reference
    return None


def read_about(namespace: str, reference: Mapping[str, Any]) -> About | None:
    """None where it names no object that there could be."""
    texts = [reference.get(member) for member in _FORMS]
    for text, form in zip(texts, _FORMS.values(), strict=True):
        if not isinstance(text, str) or len(text) > _NAME_CHARS or not form.fullmatch(text):
            return None
    return About(namespace, *map(str, texts))
