"""How much of a pod is looked at. Webhooks are asked before the API server validates, and by anyone who may make pods.

Invariant: what a review costs, and what it says, is bounded by the size of the pod, times a small number. Nothing here
refuses what the API server would admit, but for a pod of more than 200 containers.
"""

from __future__ import annotations

from collections.abc import Mapping

from injector.patch.fields import Fields, Refusal
from injector.patch.reasons import OUR_CONTAINERS, all_containers, has_sidecar

CONTAINERS_MAX = 200
TEXTS_MAX_CHARS = 256 << 10  # of annotations, as the API has it; of labels the same


def check_size(spec: Fields, annotations: Mapping[str, str], labels: Mapping[str, str]) -> None:
    for what, texts in (("annotations", annotations), ("labels", labels)):
        if sum(len(name) + len(text) for name, text in texts.items()) > TEXTS_MAX_CHARS:
            raise Refusal(f"its {what} are more than {TEXTS_MAX_CHARS >> 10} KiB: shorten them")
    ours = len(OUR_CONTAINERS) if has_sidecar(spec) else 0
    if sum(1 for _ in all_containers(spec)) > CONTAINERS_MAX + ours:
        raise Refusal(f"it has more than {CONTAINERS_MAX} containers: split it up")
