"""What `mesh install`, `mesh upgrade` and `mesh uninstall` do: ask the cluster, and make what kubectl is to apply."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from mesh.install.builder import Object, build, write
from mesh.install.chart import MINIMUM_VERSION
from mesh.install.keys import HIGH_AVAILABILITY
from mesh.install.leftovers import advise, find_leftovers
from mesh.install.saying import EXIT_USAGE, Refused, warn
from mesh.install.stored import fit, take_stored, warn_of_pins
from mesh.install.values import ValuesError, complete, read_file, read_setting

if TYPE_CHECKING:
    from mesh.install.cluster import Cluster, Record, Remains

T = TypeVar("T")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SYSTEM: Final = ("kube-system", "kube-public", "kube-node-lease", "default")


class Given(NamedTuple):
    """The options that `install` and `upgrade` share."""

    namespace: str
    ha: bool
    files: list[str]
    settings: list[str]
    kubeconfig: str | None
    dry_run: bool


def install(given: Given, is_single: bool, ignore_cluster: bool) -> str:
    check_namespace(given.namespace, is_single)
    own = {"singleNamespace": True} if is_single else {"createNamespace": True}
    changes = read_given(given)
    values = complete(own, *changes)
    if is_single and any(change.get("injector.enabled") for change in changes):
        raise ValuesError("injector.enabled: a single namespace has no webhook; leave one of the two out")
    if values["singleNamespace"] and not is_single:
        raise ValuesError("singleNamespace is set by --single-namespace alone; give that")
    if not ignore_cluster:
        in_cluster(given.kubeconfig, lambda cluster: check_free(cluster, given.namespace, is_single))
        fit(values, in_cluster(given.kubeconfig, lambda cluster: cluster.version()))
    return put_out(build(values, given.namespace), given, ignore_cluster)


def upgrade(given: Given) -> str:
    check_namespace(given.namespace, is_single=True)
    changes = read_given(given)
    record = in_cluster(given.kubeconfig, lambda cluster: find_record(cluster, given.namespace, "upgrade"))
    values = complete(*changes, stored=take_stored(record, changes))
    if values["singleNamespace"] != record.values.get("singleNamespace", False):
        raise Refused("singleNamespace cannot be changed by an upgrade; uninstall, and install again")
    fit(values, in_cluster(given.kubeconfig, lambda cluster: cluster.version()))
    warn_of_pins(record, changes)
    objects = build(values, given.namespace)
    remains = in_cluster(given.kubeconfig, lambda cluster: cluster.remains(given.namespace, purge=False))
    leftovers = tell_leftovers(remains.in_namespace() if values["singleNamespace"] else remains, objects, given)
    return put_out(objects, given, ignore_cluster=False) + leftovers


def tell_leftovers(remains: Remains, objects: list[Object], given: Given) -> str:
    """On stderr the command that deletes them; the result are the lines of a dry run."""
    from mesh.install.cluster import PLACES

    if remains.unseen:
        warn(f"you may not list {', '.join(remains.unseen)}: what of them is left over from before is not seen")
    leftovers = find_leftovers(remains.objects, objects)
    if leftovers:
        warn(advise(leftovers, given.namespace, {place.kind: place.plural for place in PLACES}))
    return list_objects(leftovers, ["left over"] * len(leftovers)) if given.dry_run else ""


def uninstall(namespace: str, purge: bool, kubeconfig: str | None) -> str:
    check_namespace(namespace, is_single=True)
    remains, count = in_cluster(kubeconfig, lambda cluster: find_remains(cluster, namespace, purge))
    if count:
        warn(
            f"{count} {'pod keeps its' if count == 1 else 'pods keep their'} sidecar until replaced: mesh uninject "
            "their manifests, and take the label gossamer.mesh/inject from their namespaces"
        )
    if remains.kept:
        warn(f"kept, since there are objects of them: {', '.join(remains.kept)}; --purge deletes them too")
    if remains.unseen:
        warn(f"you may not list {', '.join(remains.unseen)}: what there is of them stays")
    return write(remains.objects)


def check_namespace(namespace: str, is_single: bool) -> None:
    if not _NAMESPACE.fullmatch(namespace):
        raise Refused(f"--namespace {namespace} is no name of a namespace", EXIT_USAGE)
    if namespace in _SYSTEM and not is_single:
        raise Refused(
            f"--namespace {namespace} has others in it, whose pods would get no sidecar; give Gossamer its own",
            EXIT_USAGE,
        )


def read_given(given: Given) -> list[dict[str, Any]]:
    """What changes the values: --ha, then files in their order, then single values."""
    found: list[dict[str, Any]] = [dict(HIGH_AVAILABILITY)] if given.ha else []
    for name in given.files:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise Refused(f"--values {name} cannot be read: {reason}; give a YAML file", EXIT_USAGE) from None
        found.append(read_file(text, f"--values {name}"))
    return [*found, *map(read_setting, given.settings)]


def in_cluster(kubeconfig: str | None, question: Callable[[Cluster], Awaitable[T]]) -> T:
    """The answer of a cluster. What is needed to ask is imported here: it would cost every start of `mesh`."""
    try:
        from mesh.install.cluster import Cluster, ClusterError
    except ModuleNotFoundError as missing:
        raise Refused(
            f"{missing.name} is missing, so no cluster can be asked: install gossamer-mesh[controlplane], or give "
            "--ignore-cluster"
        ) from None

    async def ask() -> T:
        async with Cluster(kubeconfig) as cluster:
            version = await cluster.version()
            if version < MINIMUM_VERSION:
                raise ClusterError(
                    f"the cluster is Kubernetes {version[0]}.{version[1]}; Gossamer needs "
                    f"{MINIMUM_VERSION[0]}.{MINIMUM_VERSION[1]} or newer"
                )
            return await question(cluster)

    try:
        return asyncio.run(ask())
    except ClusterError as error:
        raise Refused(str(error)) from None


async def check_free(cluster: Cluster, namespace: str, is_single: bool) -> None:
    record = await cluster.record(namespace)
    if record is not None:
        raise Refused(
            f"Gossamer {record.version} is installed in {namespace} already; use {name_way(record, 'upgrade')}"
        )
    other = "" if is_single else await cluster.other_namespace(namespace)
    if other and await is_unrecorded(cluster, other):
        raise Refused(
            f"there are leftovers of Gossamer in {other}; first mesh uninstall -n {other} | kubectl delete -f -"
        )
    if other:
        raise Refused(f"Gossamer is installed in {other} already, for all namespaces; use mesh upgrade -n {other}")


async def is_unrecorded(cluster: Cluster, namespace: str) -> bool:
    """Whether an installation came to nothing, or lost its namespace: nobody could upgrade it."""
    from mesh.install.cluster import ClusterError

    try:
        return await cluster.record(namespace) is None
    except ClusterError:
        return False  # what may not be seen may be there


def name_way(record: Record, command: str) -> str:
    """How to change what is installed: what Helm installed belongs to Helm."""
    return f"helm {command} {record.release}" if record.release else f"mesh {command}"


async def find_record(cluster: Cluster, namespace: str, command: str) -> Record:
    record = await cluster.record(namespace)
    if record is None:
        raise Refused(f"Gossamer is not installed in {namespace}; use mesh install, or name another with --namespace")
    if record.release:
        raise Refused(f"Helm installed Gossamer in {namespace}; use {name_way(record, command)}")
    return record


async def find_remains(cluster: Cluster, namespace: str, purge: bool) -> tuple[Remains, int]:
    """What there is of it, and how many pods it has meshed."""
    from mesh.install.meshed import count_meshed

    record = await cluster.record(namespace)
    if record is not None and record.release:
        raise Refused(f"Helm installed Gossamer in {namespace}; use {name_way(record, 'uninstall')}")
    remains = await cluster.remains(namespace, purge)
    if not remains.objects:
        raise Refused(f"there is nothing of Gossamer in {namespace}; name another with --namespace")
    if record is not None and record.values.get("singleNamespace"):
        return remains.in_namespace(), await count_meshed(cluster, namespace)
    return remains, await count_meshed(cluster, "")


def put_out(objects: list[Object], given: Given, ignore_cluster: bool) -> str:
    """The manifests; with --dry-run a line for each object, and what applying it would do."""
    if not given.dry_run:
        return write(objects)
    states = ["apply"] * len(objects)
    if not ignore_cluster:
        states = in_cluster(given.kubeconfig, lambda cluster: compare(cluster, objects))
    return list_objects(objects, states)


def list_objects(objects: list[Object], states: list[str]) -> str:
    return "".join(f"{state:<10} {name_object(item)}\n" for state, item in zip(states, objects, strict=True))


def name_object(item: Object) -> str:
    place = item["metadata"].get("namespace")
    return f"{item['kind']} {place + '/' if place else ''}{item['metadata']['name']}"


async def compare(cluster: Cluster, objects: list[Object]) -> list[str]:
    """What applying each object would do."""
    return [await cluster.state(item) for item in objects]
