"""What makes pods of a template, and what the API server says where it lets none of them in.

A ReplicaSet says it in a condition, the others in Events, which are counted on while their next try is still to come.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from mesh.check.facts import Object
from mesh.check.pods import cut

REPLICA_SET: Final = "ReplicaSet"
FAILED_CREATE: Final = "FailedCreate"
# Longer than the controllers' longest pause between two tries, of 1000 s.
_HEARD_WITHIN: Final = timedelta(minutes=20)


def name_maker(maker: Object) -> str:
    """By what people know: a ReplicaSet by its Deployment."""
    metadata = maker["metadata"]
    owners = metadata.get("ownerReferences") or []
    kind, name = (owners[0]["kind"], owners[0]["name"]) if owners else (maker["kind"], metadata["name"])
    return f"{kind} {metadata['namespace']}/{name}"


def template_of(maker: Object) -> Object:
    """Its pods as they will be, which are then in its namespace."""
    template = maker["spec"]["template"]
    place = {"namespace": maker["metadata"]["namespace"], "name": maker["metadata"]["name"]}
    return {**template, "metadata": {**(template.get("metadata") or {}), **place}}


def wants_pods(maker: Object) -> bool:
    """Those of earlier revisions and Jobs that are over do not."""
    spec, status = maker["spec"], maker.get("status") or {}
    match maker["kind"]:
        case "DaemonSet":
            return bool(status.get("desiredNumberScheduled"))
        case "Job":
            over = any(item["type"] in ("Complete", "Failed") for item in status.get("conditions") or [])
            return not over and not spec.get("suspend") and bool(spec.get("parallelism", 1))
        case _:
            return bool(spec.get("replicas", 1))


def lacks_pods(maker: Object) -> bool:
    spec, status = maker["spec"], maker.get("status") or {}
    match maker["kind"]:
        case "DaemonSet":
            made, wanted = status.get("currentNumberScheduled", 0), status.get("desiredNumberScheduled", 0)
        case "Job":
            made, wanted = status.get("active", 0), 1
        case _:
            made, wanted = status.get("replicas", 0), spec.get("replicas", 1)
    return wants_pods(maker) and bool(made < wanted)


def explain_lack(maker: Object, events: Iterable[Object], now: datetime) -> str:
    """Why it has fewer pods than it wants; empty where it has all, or where nothing is said."""
    if not lacks_pods(maker):
        return ""
    if maker["kind"] == REPLICA_SET:
        conditions = (maker.get("status") or {}).get("conditions") or []
        said = [item for item in conditions if item["type"] == "ReplicaFailure" and item["status"] == "True"]
    else:
        uid = maker["metadata"].get("uid")
        said = [item for item in events if item["involvedObject"].get("uid") == uid and is_recent(item, now)]
        said.sort(key=read_time)
    return cut(str(said[-1].get("message", ""))) if said else ""


def is_recent(event: Object, now: datetime) -> bool:
    return datetime.fromisoformat(read_time(event)) > now - _HEARD_WITHIN


def read_time(event: Object) -> str:
    """When it was last so."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])
