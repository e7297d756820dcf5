"""What injection adds to a pod that is to have the sidecar.

The order of containers is the point. A native sidecar comes first among the init containers, right after the rules that
lead connections to it, so that all that follow find it serving. A plain container starts when the init containers have
ended, so the rules come last there: until then the others' connections go out as ever.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from injector.patch.containers import find_shared, make_init_container, make_proxy_container, make_volumes
from injector.patch.ending import read_end
from injector.patch.fields import Fields, change_member, read_fields, read_items
from injector.patch.place import Place
from injector.patch.probes import Rewriting
from injector.patch.record import DEFAULT_CONTAINER, Record, annotate, keep
from injector.patch.settings import Settings
from injector.patch.wishes import OPAQUE_PORTS as SERVER_FIRST
from injector.patch.wishes import Wishes
from mesh.contract import INIT_CONTAINER, PROXY_CONTAINER
from mesh.ports import OPAQUE_PORTS
from mesh.version import VERSION

CONTAINERS = ("initContainers", "containers")  # those of init have probes where they are sidecars


def add(pod: Fields, place: Place, wishes: Wishes, settings: Settings, rewriting: Rewriting) -> Fields:
    spec: Fields = pod["spec"]
    after = {**pod, "spec": add_to_spec(spec, wishes, settings, rewriting)}
    record = Record(VERSION, rewriting.originals, asked="" if place.is_asked else describe(spec, wishes, settings))
    annotations = read_fields(read_fields(pod, "metadata"), "annotations")
    if not wishes.native_sidecar and DEFAULT_CONTAINER not in annotations:
        after = annotate(after, DEFAULT_CONTAINER, str(spec["containers"][0].get("name")))
        record = replace(record, named_default=True)
    if OPAQUE_PORTS not in annotations and wishes.opaque_ports != SERVER_FIRST:
        # Callers' sidecars learn it from the control plane, which sees pods, and neither namespaces nor our settings.
        after = annotate(after, OPAQUE_PORTS, wishes.opaque_ports)
        record = replace(record, opaque_ports=wishes.opaque_ports)
    return keep(pod, after, record)


def add_to_spec(spec: Fields, wishes: Wishes, settings: Settings, rewriting: Rewriting) -> Fields:
    rewritten = rewrite_probes(spec, rewriting) if wishes.intercepts and wishes.rewrite_probes else spec
    shared = find_shared(spec)
    proxy = make_proxy_container(wishes, settings.control_plane, read_end(spec), rewriting.encode(), shared)
    rules = [make_init_container(wishes, shared)] if wishes.intercepts else []
    rewritten = add_containers(rewritten, wishes, rules, proxy)
    return change_member(rewritten, "volumes", lambda before: [*(before or ()), *make_volumes()])


def describe(spec: Fields, wishes: Wishes, settings: Settings) -> str:
    """All that decides what is added, but for probes, in few characters."""
    said = (wishes, read_end(spec), sorted(find_shared(spec)), settings.control_plane)
    return sha256(repr(said).encode()).hexdigest()[:16]


def rewrite_probes(spec: Fields, rewriting: Rewriting) -> Fields:
    for name in CONTAINERS:
        if theirs := read_items(spec, name, "spec."):
            after = rewriting.rewrite(theirs)
            spec = spec if after is theirs else {**spec, name: after}
    return spec


def add_containers(spec: Fields, wishes: Wishes, rules: list[Fields], proxy: Fields) -> Fields:
    if wishes.native_sidecar:
        return change_member(spec, "initContainers", lambda before: [*rules, proxy, *(before or ())])
    if rules:
        spec = change_member(spec, "initContainers", lambda before: [*(before or ()), *rules])
    # First, so that its hook holds the start of the others up.
    return {**spec, "containers": [proxy, *spec["containers"]]}


def put_rules_last(spec: Fields) -> Fields:
    """Before a plain container, where another webhook has put an init container behind them."""
    if not any(item.get("name") == PROXY_CONTAINER for item in read_items(spec, "containers", "spec.")):
        return spec
    items = read_items(spec, "initContainers", "spec.")
    rules = [item for item in items if item.get("name") == INIT_CONTAINER]
    if not rules or items[-1].get("name") == INIT_CONTAINER:
        return spec
    return {**spec, "initContainers": [*(item for item in items if item.get("name") != INIT_CONTAINER), *rules]}
