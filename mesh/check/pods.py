"""What a pod's object says of its state, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from mesh.contract import PROXY_CONTAINER

Object = dict[str, Any]
_TEXT_CHARS: Final = 160
_STARTING: Final = ("ContainerCreating", "PodInitializing")  # what a pod is in that only waits for another container


def name_pod(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def is_going(item: Object) -> bool:
    return "deletionTimestamp" in item["metadata"]


def is_finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_ready(pod: Object) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in list_conditions(pod))


def list_conditions(pod: Object) -> list[Object]:
    return (pod.get("status") or {}).get("conditions") or []


def find_sidecar(pod: Object) -> Object | None:
    """Our container, native or plain."""
    spec = pod["spec"]
    found = [*(spec.get("initContainers") or []), *spec["containers"]]
    return next((container for container in found if container["name"] == PROXY_CONTAINER), None)


def list_statuses(pod: Object) -> Iterator[Object]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def explain(pod: Object) -> str:
    """Why it is not ready; empty where it is."""
    if is_ready(pod):
        return ""
    for item in list_conditions(pod):
        if item["type"] == "PodScheduled" and item["status"] == "False":
            return cut(f"{item.get('reason', 'not scheduled')}: {item.get('message', '')}")
    if not pod["spec"].get("nodeName") and not any(list_statuses(pod)):
        return "not scheduled yet"
    reasons = [reason for status in list_statuses(pod) if (reason := explain_container(status))]
    return next((reason for reason in reasons if not reason.startswith(_STARTING)), (reasons or ["not ready"])[0])


def explain_container(status: Object) -> str:
    """Why this container does not run or is not ready; empty where it is, or has done its work."""
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    if waiting := state.get("waiting"):
        text = f"{waiting.get('reason', 'waiting')}: {waiting.get('message', '')}".rstrip(": ")
        return cut(f"{text}; it ended before {describe_end(last)}" if last else text)
    if ended := state.get("terminated"):
        return "" if ended.get("exitCode") == 0 else cut(f"{status['name']} ended {describe_end(ended)}")
    return "" if status.get("ready") else f"{status['name']} is not ready"


def has_started_since(moment: datetime, status: Object) -> bool:
    """Whether this container runs, and began after the moment."""
    began = ((status.get("state") or {}).get("running") or {}).get("startedAt")
    return began is not None and datetime.fromisoformat(began) > moment


def describe_end(ended: Object) -> str:
    reason = " ".join(filter(None, (ended.get("reason"), (ended.get("message") or "").strip().rpartition("\n")[2])))
    return f"with exit code {ended.get('exitCode')}" + (f" ({reason})" if reason else "")


def cut(text: str) -> str:
    """On one line, and short: others wrote it."""
    text = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}..."
