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
from mesh.install.keys import BY_NAME, HIGH_AVAILABILITY
from mesh.install.leftovers import advise, find_leftovers
from mesh.install.values import ValuesError, check, complete, read_file, read_setting
from mesh.version import VERSION

if TYPE_CHECKING:
    from mesh.install.cluster import Cluster, Record, Remains

T = TypeVar("T")
EXIT_FAILED, EXIT_USAGE = 1, 2
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


class Refused(Exception):
    """The command ends with this sentence; `code` is its exit code."""

    def __init__(self, sentence: str, code: int = EXIT_FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def install(given: Given, is_single: bool, ignore_cluster: bool) -> str:
    check_namespace(given.namespace, is_single)
    own = {"singleNamespace": True} if is_single else {"createNamespace": True}
    values = complete(own, *read_given(given))
    if values["singleNamespace"] and not is_single:
        raise ValuesError("singleNamespace is set by --single-namespace alone; give that")
    if not ignore_cluster:
        in_cluster(given.kubeconfig, lambda cluster: check_free(cluster, given.namespace, is_single))
    return put_out(build(values, given.namespace), given, ignore_cluster)


def upgrade(given: Given) -> str:
    check_namespace(given.namespace, is_single=True)
    changes = read_given(given)
    record = in_cluster(given.kubeconfig, lambda cluster: find_record(cluster, given.namespace, "upgrade"))
    values = complete(take_stored(record), *changes)
    if values["singleNamespace"] != record.values.get("singleNamespace", False):
        raise Refused("singleNamespace cannot be changed by an upgrade; uninstall, and install again")
    warn_of_pins(record, changes)
    objects = build(values, given.namespace)
    remains = in_cluster(given.kubeconfig, lambda cluster: cluster.remains(given.namespace, purge=False))
    leftovers = tell_leftovers(remains.in_namespace() if values["singleNamespace"] else remains, objects, given)
    return put_out(objects, given, ignore_cluster=False) + leftovers


def warn_of_pins(record: Record, changes: list[dict[str, Any]]) -> None:
    """An image that was chosen once is kept, while everything else is of this version."""
    given = {name for change in changes for name in change}
    pins = [name for name in ("image.tag", "image.digest") if record.values.get(name) and name not in given]
    if not pins or record.version == VERSION:
        return
    kept = ", ".join(f"{name} stays {record.values[name]}" for name in pins)
    follow = " ".join(f"--set {name}=" for name in pins)
    warn(f"{kept}, as it was set, though Gossamer {record.version} becomes {VERSION}; {follow} lets the image follow")


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
    remains = in_cluster(kubeconfig, lambda cluster: find_remains(cluster, namespace, purge))
    if remains.kept:
        warn(f"kept, since there are objects of them: {', '.join(remains.kept)}; --purge deletes them too")
    if remains.unseen:
        warn(f"you may not list {', '.join(remains.unseen)}: what there is of them stays")
    return write(remains.objects)


def warn(sentence: str) -> None:
    print(f"mesh: {sentence}", file=sys.stderr)


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
    if other:
        raise Refused(f"Gossamer is installed in {other} already, for all namespaces; use mesh upgrade -n {other}")


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


def take_stored(record: Record) -> dict[str, Any]:
    """The values as they were given then. Those that this version does not know are left out, aloud."""
    if as_numbers(record.version) > as_numbers(VERSION):
        raise Refused(f"Gossamer {record.version} is installed, and this is {VERSION}; use the newer mesh")
    unknown = sorted(record.values.keys() - BY_NAME.keys())
    if unknown:
        warn(f"no longer known, and left out: {', '.join(unknown)}")
    return {name: check(name, given, "the installation") for name, given in record.values.items() if name in BY_NAME}


def as_numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


async def find_remains(cluster: Cluster, namespace: str, purge: bool) -> Remains:
    record = await cluster.record(namespace)
    if record is not None and record.release:
        raise Refused(f"Helm installed Gossamer in {namespace}; use {name_way(record, 'uninstall')}")
    remains = await cluster.remains(namespace, purge)
    if not remains.objects:
        raise Refused(f"there is nothing of Gossamer in {namespace}; name another with --namespace")
    return remains.in_namespace() if record is not None and record.values.get("singleNamespace") else remains


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
