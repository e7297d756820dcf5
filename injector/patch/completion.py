"""A pod that has the sidecar already, reviewed again: what other webhooks have done to it since the sidecar came.

Invariant: nothing changes where nobody else changed anything that counts, and what others did to our own containers,
such as an image by way of their registry, stays.
"""

from __future__ import annotations

from dataclasses import replace

from injector.patch.addition import CONTAINERS, put_rules_last, rewrite_probes
from injector.patch.containers import PROBES
from injector.patch.fields import Fields, Refusal, read_items
from injector.patch.outcome import Outcome, Verdict
from injector.patch.probes import Rewriting, decode
from injector.patch.reasons import ALREADY, all_containers
from injector.patch.record import Record, annotate
from injector.patch.wishes import Wishes
from mesh.contract import INJECTED, PROXY_CONTAINER


def complete(pod: Fields, wishes: Wishes, record: Record) -> Outcome:
    """With the probes of containers that came after us, and our rules where they belong."""
    if not (record.version and wishes.intercepts):
        return Outcome(Verdict.SKIPPED, pod, pod, *ALREADY)
    rewriting = Rewriting(decode(read_probes(pod["spec"])))
    spec = put_rules_last(pod["spec"])
    if wishes.rewrite_probes:
        spec = rewrite_probes(spec, rewriting)
    if spec is pod["spec"]:
        return Outcome(Verdict.SKIPPED, pod, pod, *ALREADY, warnings=tuple(rewriting.warnings))
    after = {**pod, "spec": spec}
    if rewriting.originals:
        record = replace(record, probes={**record.probes, **rewriting.originals})
        after = annotate({**pod, "spec": tell_sidecar(spec, rewriting.encode())}, INJECTED, record.encode())
    return Outcome(Verdict.INJECTED, pod, after, warnings=tuple(rewriting.warnings))


def read_probes(spec: Fields) -> str:
    """What the sidecar is to ask, as it stands in its environment."""
    sidecar, *others = (container for container in all_containers(spec) if container.get("name") == PROXY_CONTAINER)
    if others:
        raise Refusal(f"it has more than one container {PROXY_CONTAINER}: remove all but one")
    variables = read_items(sidecar, "env", "container.")
    return next((str(item.get("value", "")) for item in variables if item.get("name") == PROBES), "")


def tell_sidecar(spec: Fields, probes: str) -> Fields:
    for name in CONTAINERS:
        if theirs := read_items(spec, name):
            spec = {**spec, name: [tell(container, probes) for container in theirs]}
    return spec


def tell(container: Fields, probes: str) -> Fields:
    """The sidecar's container with another value of that variable; any other container as it is."""
    if container.get("name") != PROXY_CONTAINER:
        return container
    others = [item for item in read_items(container, "env", "container.") if item.get("name") != PROBES]
    return {**container, "env": [*others, {"name": PROBES, "value": probes}]}
