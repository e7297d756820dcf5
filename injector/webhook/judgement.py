"""What becomes of a reviewed pod: the answer, and what is to be told of it. Pure; the patch is `injector.patch`'s.

A pod that gets no sidecar for a reason is let through as it is. One whose annotations make no sense is refused with a
sentence, whatever the failure policy: it is that of a webhook that does not answer, and a typing error must not quietly
take a workload out of the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from injector.patch import Outcome, Place, Settings, Verdict, inject
from injector.webhook.review import Answer, Review

# Reasons of injector.patch.reasons that mean something here.
ALREADY, NOT_ASKED = "already", "not-asked"


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
    return inject(pod, place, settings)


def make_answer(review: Review, outcome: Outcome) -> Answer:
    if outcome.verdict is Verdict.REFUSED:
        return Answer(review.uid, refusal=f"gossamer cannot put its sidecar in: {outcome.sentence}")
    return Answer(review.uid, outcome.patch(), outcome.warnings)


def make_note(review: Review, outcome: Outcome) -> Note | None:
    """None on a dry run, where there is nobody to tell it of, and where another review of this pod has told it."""
    about = find_owner(review, outcome.before)
    if review.is_dry_run or about is None or outcome.reason == ALREADY:
        return None
    happening = _HAPPENINGS[outcome.verdict]
    message = outcome.sentence or "; ".join(["the sidecar is put in", *outcome.warnings])
    return Note(about, happening, message if happening is not Happening.SKIPPED else f"no sidecar: {message}")


def make_failure_note(review: Review, message: str) -> Note | None:
    """Of a review that came to no answer."""
    about = find_owner(review, review.pod or {})
    return None if review.is_dry_run or about is None else Note(about, Happening.FAILED, message)


def find_owner(review: Review, pod: Mapping[str, Any]) -> About | None:
    """The controller that made the pod; without one the pod itself, if it has a name yet."""
    metadata = pod.get("metadata")
    if not isinstance(metadata, dict):
        return None
    references = metadata.get("ownerReferences")
    for reference in references if isinstance(references, list) else []:
        if isinstance(reference, dict) and reference.get("controller") is True:
            texts = [reference.get(name) for name in ("apiVersion", "kind", "name", "uid")]
            if all(isinstance(text, str) for text in texts):
                return About(review.namespace, *map(str, texts))
    name = metadata.get("name")
    return About(review.namespace, "v1", "Pod", name) if isinstance(name, str) and name else None
