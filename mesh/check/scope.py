"""The part of a survey that looks for what is meshed, wherever in the cluster that is.

A namespace asks by its label, and a pod of any other by its own, which its template gives it. The labels of a workload
are not those of its template; but a ReplicaSet of a Deployment has them, and of the other kinds there are few, so they
are all read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from mesh.check.api import Api
from mesh.check.facts import Object, Scope, Unseen
from mesh.check.makers import FAILED_CREATE, REPLICA_SET, lacks_pods, template_of, wants_pods
from mesh.check.pods import is_going
from mesh.contract import ENABLED, INJECT

_ASKS: Final = f"{INJECT}={ENABLED}"
_REPLICA_SETS: Final = "apps/v1", "replicasets"
_MAKERS: Final = {
    "StatefulSet": ("apps/v1", "statefulsets"),
    "DaemonSet": ("apps/v1", "daemonsets"),
    "Job": ("batch/v1", "jobs"),
}
Found = tuple[Object, ...] | Unseen


async def survey_scope(api: Api, only: str) -> Scope | Unseen:
    """Of all namespaces that are to stay, or of one alone, with rights in it alone."""
    if only:
        own = await api.find(f"/api/v1/namespaces/{only}")
        return await survey_one(api, own if isinstance(own, dict) else {"metadata": {"name": only}})
    found = await api.items("/api/v1/namespaces")
    if isinstance(found, Unseen):
        return found
    return await survey_all(api, {item["metadata"]["name"]: item for item in found if not is_going(item)})


async def survey_one(api: Api, namespace: Object) -> Scope:
    name = namespace["metadata"]["name"]
    pods, services, *makers = await asyncio.gather(
        api.items(f"/api/v1/namespaces/{name}/pods"),
        api.items(f"/api/v1/namespaces/{name}/services"),
        list_replica_sets(api, [name]),
        *(list_makers(api, kind, name) for kind in _MAKERS),
    )
    workloads = join(makers)
    strays = (namespace,) if is_stray(namespace) else ()
    return Scope({name: namespace}, pods, services, workloads, await list_events(api, workloads), strays)


async def survey_all(api: Api, standing: Mapping[str, Object]) -> Scope:
    whole = [name for name, item in standing.items() if asks(item)]
    inside, asking, *makers = await asyncio.gather(
        list_within(api, whole, "pods"),
        api.items("/api/v1/pods", labelSelector=_ASKS),
        list_replica_sets(api, whole),
        list_asking_replica_sets(api),
        *(list_makers(api, kind) for kind in _MAKERS),
    )
    single = outside(asking, standing.keys() - whole)
    workloads = choose(join(makers), whole, standing)
    others = {item["metadata"]["namespace"] for found in (single, workloads) for item in seen(found)}
    places = {name: standing[name] for name in [*whole, *sorted(others - set(whole))]}
    inner, outer, events = await asyncio.gather(
        list_within(api, whole, "services"),
        list_within(api, others - set(whole), "services"),
        list_events(api, workloads),
    )
    services = join([inner, outer if isinstance(outer, Unseen) else select(outer, seen(single))])
    strays = tuple(item for item in standing.values() if is_stray(item))
    return Scope(places, join([inside, single]), services, workloads, events, strays)


def asks(item: Object) -> bool:
    return (item["metadata"].get("labels") or {}).get(INJECT) == ENABLED


def is_stray(namespace: Object) -> bool:
    """It names us, and does not ask."""
    metadata = namespace["metadata"]
    return not asks(namespace) and any(INJECT in (metadata.get(field) or {}) for field in ("labels", "annotations"))


def outside(pods: Found, others: Iterable[str]) -> Found:
    return pods if isinstance(pods, Unseen) else tuple(pod for pod in pods if pod["metadata"]["namespace"] in others)


def choose(makers: Found, whole: list[str], standing: Mapping[str, Object]) -> Found:
    """Those in the namespaces that ask, and those of whose pods each asks, each once."""
    if isinstance(makers, Unseen):
        return makers
    chosen = {
        (item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]): item
        for item in makers
        if (place := item["metadata"]["namespace"]) in whole or (place in standing and asks(template_of(item)))
    }
    return tuple(chosen.values())


def select(services: Iterable[Object], pods: Iterable[Object]) -> tuple[Object, ...]:
    """The Services that lead to one of these pods."""
    known = [(pod["metadata"]["namespace"], (pod["metadata"].get("labels") or {}).items()) for pod in pods]
    return tuple(
        service
        for service in services
        if (selector := (service["spec"].get("selector") or {}).items())
        and any(selector <= labels for place, labels in known if place == service["metadata"]["namespace"])
    )


async def list_replica_sets(api: Api, names: Iterable[str]) -> Found:
    paths = [make_path(*_REPLICA_SETS, name) for name in names]
    return sort_out(REPLICA_SET, join(await asyncio.gather(*(api.items(path) for path in paths))))


async def list_asking_replica_sets(api: Api) -> Found:
    return sort_out(REPLICA_SET, await api.items(make_path(*_REPLICA_SETS), labelSelector=_ASKS))


async def list_makers(api: Api, kind: str, name: str = "") -> Found:
    return sort_out(kind, await api.items(make_path(*_MAKERS[kind], name)))


def sort_out(kind: str, found: Found) -> Found:
    """Those that want pods, with their kind, which a list leaves out."""
    if isinstance(found, Unseen):
        return found
    return tuple(item for item in ({**item, "kind": kind} for item in found if not is_going(item)) if wants_pods(item))


async def list_events(api: Api, makers: Found) -> Found:
    """About those that lack pods and say nothing of it themselves."""
    if isinstance(makers, Unseen):
        return makers
    names = {item["metadata"]["namespace"] for item in makers if item["kind"] != REPLICA_SET and lacks_pods(item)}
    return await list_within(api, sorted(names), "events", fieldSelector=f"reason={FAILED_CREATE}")


async def list_within(api: Api, names: Iterable[str], plural: str, **query: str) -> Found:
    paths = [make_path("v1", plural, name) for name in names]
    return join(await asyncio.gather(*(api.items(path, **query) for path in paths)))


def make_path(version: str, plural: str, name: str = "") -> str:
    root = "/apis/" if "/" in version else "/api/"
    return f"{root}{version}" + (f"/namespaces/{name}" if name else "") + f"/{plural}"


def join(answers: Iterable[Found]) -> Found:
    """All of them, or why one could not be had."""
    found: list[Object] = []
    for answer in answers:
        if isinstance(answer, Unseen):
            return answer
        found += answer
    return tuple(found)


def seen(found: Found) -> tuple[Object, ...]:
    return () if isinstance(found, Unseen) else found
