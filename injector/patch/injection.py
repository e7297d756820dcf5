"""Injection: from a pod to the pod with the sidecar, or to the reason why it stays without.

The order of containers is the point. A native sidecar comes first among the init containers, right after the rules that
lead connections to it, so that all that follow find it serving. A plain container starts when the init containers have
ended, so the rules come last there: until then the others' connections go out as ever.

Invariant: what is there already is not added again, so a second injection changes nothing, but that the probes of
containers which another webhook has added since are led to the sidecar too.
"""

from __future__ import annotations

from injector.patch.containers import PROBES, make_init_container, make_proxy_container, make_volumes
from injector.patch.ending import read_end
from injector.patch.fields import Fields, Refusal, change_member, read_fields, read_items, read_texts
from injector.patch.outcome import Outcome, Verdict
from injector.patch.place import Place
from injector.patch.probes import Rewriting, decode
from injector.patch.reasons import ALREADY, Reason, all_containers, find_conflict, find_reason
from injector.patch.record import Record, annotate, keep, read_record
from injector.patch.settings import Settings
from injector.patch.warnings import find_warnings
from injector.patch.wishes import Wishes, read_opinion, read_wishes
from mesh.contract import INJECTED, PROXY_CONTAINER
from mesh.version import VERSION

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_CONTAINERS = ("initContainers", "containers")  # those of init have probes where they are sidecars


def inject(pod: Fields, place: Place, settings: Settings) -> Outcome:
    """`pod` is a pod or a pod template. It is not changed."""
    try:
        return _inject(pod, place, settings)
    except Refusal as refusal:
        return Outcome(Verdict.REFUSED, pod, pod, "refused", str(refusal))


def _inject(pod: Fields, place: Place, settings: Settings) -> Outcome:
    metadata, spec = read_fields(pod, "metadata"), read_fields(pod, "spec")
    annotations, labels = (read_texts(metadata, name, "metadata.") for name in ("annotations", "labels"))
    if not read_items(spec, "containers", "spec."):
        raise Refusal("spec.containers must have a container")
    opinions = read_opinion(annotations, "annotation"), read_opinion(labels, "label")
    reason = find_reason(spec, opinions, place, settings)
    if reason is not None and reason is not ALREADY:
        return _skip(pod, reason)
    wishes = read_wishes(annotations, place.annotations, settings.defaults)
    if reason is ALREADY:
        return _complete(pod, wishes, read_record(annotations))
    if conflict := find_conflict(spec, wishes):
        return _skip(pod, conflict)
    rewriting = Rewriting()
    after = _add(pod, wishes, settings, rewriting)
    warnings = (*find_warnings(pod, place, wishes, settings), *rewriting.warnings)
    return Outcome(Verdict.INJECTED, pod, after, warnings=warnings)


def _skip(pod: Fields, reason: Reason) -> Outcome:
    return Outcome(Verdict.SKIPPED, pod, pod, *reason)


def _add(pod: Fields, wishes: Wishes, settings: Settings, rewriting: Rewriting) -> Fields:
    spec: Fields = pod["spec"]
    rewritten = rewrite_probes(spec, rewriting) if wishes.intercepts and wishes.rewrite_probes else spec
    proxy = make_proxy_container(wishes, settings.control_plane, read_end(spec), rewriting.encode())
    rewritten = add_containers(rewritten, wishes, proxy)
    after = {**pod, "spec": change_member(rewritten, "volumes", lambda before: [*(before or ()), *make_volumes()])}
    record = Record(VERSION, rewriting.originals)
    if not wishes.native_sidecar and DEFAULT_CONTAINER not in read_fields(read_fields(pod, "metadata"), "annotations"):
        after = annotate(after, DEFAULT_CONTAINER, str(spec["containers"][0].get("name")))
        record = Record(VERSION, rewriting.originals, named_default=True)
    return keep(pod, after, record)


def rewrite_probes(spec: Fields, rewriting: Rewriting) -> Fields:
    for name in _CONTAINERS:
        if theirs := read_items(spec, name, "spec."):
            after = rewriting.rewrite(theirs)
            spec = spec if after is theirs else {**spec, name: after}
    return spec


def add_containers(spec: Fields, wishes: Wishes, proxy: Fields) -> Fields:
    rules = [make_init_container(wishes)] if wishes.intercepts else []
    if wishes.native_sidecar:
        return change_member(spec, "initContainers", lambda before: [*rules, proxy, *(before or ())])
    if rules:
        spec = change_member(spec, "initContainers", lambda before: [*(before or ()), *rules])
    # First, so that its hook holds the start of the others up.
    return {**spec, "containers": [proxy, *spec["containers"]]}


def _complete(pod: Fields, wishes: Wishes, record: Record) -> Outcome:
    """What is injected already, with the probes of containers that came after us."""
    if not (record.version and wishes.intercepts and wishes.rewrite_probes):
        return _skip(pod, ALREADY)
    rewriting = Rewriting(decode(read_probes(pod["spec"])))
    spec = rewrite_probes(pod["spec"], rewriting)
    if not rewriting.originals:
        return _skip(pod, ALREADY)
    for name in _CONTAINERS:
        if theirs := read_items(spec, name):
            spec = {**spec, name: [tell(container, rewriting.encode()) for container in theirs]}
    record = Record(record.version, {**record.probes, **rewriting.originals}, record.emptied, record.named_default)
    after = annotate({**pod, "spec": spec}, INJECTED, record.encode())
    return Outcome(Verdict.INJECTED, pod, after, warnings=tuple(rewriting.warnings))


def read_probes(spec: Fields) -> str:
    """What the sidecar is to ask, as it stands in its environment."""
    sidecar = next(container for container in all_containers(spec) if container.get("name") == PROXY_CONTAINER)
    variables = read_items(sidecar, "env", "container.")
    return next((str(item.get("value", "")) for item in variables if item.get("name") == PROBES), "")


def tell(container: Fields, probes: str) -> Fields:
    """The sidecar's container with another value of that variable; any other container as it is."""
    if container.get("name") != PROXY_CONTAINER:
        return container
    others = [item for item in read_items(container, "env", "container.") if item.get("name") != PROBES]
    return {**container, "env": [*others, {"name": PROBES, "value": probes}]}
