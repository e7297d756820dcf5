"""One survey of a cluster: all questions that the checks need answered, asked once, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from injector.api.access import decode, read_message
from injector.options import NAME as INJECTOR
from mesh.access import Lost
from mesh.check.api import Answer, Api
from mesh.check.facts import Asked, Facts, Malformed, Object, Unseen
from mesh.check.pods import is_going
from mesh.check.rights import Right, list_rights
from mesh.check.scope import survey_scope
from mesh.contract import CONTROL_ADMIN_PORT, CONTROL_SERVICE
from mesh.install.cluster import ClusterError, Record, read_record, read_version
from mesh.install.keys import BY_NAME
from mesh.install.parts.common import COMPONENT, PART_OF, PRODUCT, RBAC
from mesh.install.parts.controlplane import COMPONENT as CONTROL_PLANE
from mesh.install.parts.place import RECORD
from mesh.install.values import ValuesError, check, complete

T = TypeVar("T")
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
_GUARD: Final = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")


async def survey(api: Api, asked: Asked) -> Facts:
    """What is known after the first question failed is that alone."""
    before = datetime.now(UTC)
    try:
        answer = await api.ask("/version")
    except Lost as lost:
        return Facts(asked, before, trouble=f"{api.host} cannot be reached: {lost}")
    now = datetime.now(UTC)
    if answer.status >= 300:
        return Facts(asked, now, trouble=f"{api.host} says {answer.status}: {read_message(answer.body)}")
    try:
        version = read_version(decode(answer.body))
    except (ClusterError, Lost):
        return Facts(asked, now, trouble=f"what answers at {api.host} is no Kubernetes API")
    ahead_s = measure(answer, before, now)
    if asked.is_pre:
        return await survey_before(api, Facts(asked, now, version=version, ahead_s=ahead_s))
    return await survey_installation(api, Facts(asked, now, version=version, ahead_s=ahead_s))


def measure(answer: Answer, before: datetime, after: datetime) -> float | Unseen:
    """The header has whole seconds, rounded down; the answer came from somewhere between both times."""
    try:
        said = parsedate_to_datetime(answer.date)
    except ValueError:
        return Unseen("the API server does not say what time it is")
    if said.tzinfo is None:
        return Unseen("the API server does not say what time it is")
    earliest, latest = (said - after).total_seconds(), (said - before).total_seconds() + 1
    return 0.0 if earliest <= 0 <= latest else min(earliest, latest, key=abs)


async def survey_before(api: Api, facts: Facts) -> Facts:
    """What matters before an installation."""
    place = facts.asked.namespace
    denied, record, elsewhere = await asyncio.gather(
        find_denied(api, list_rights(place, facts.asked.is_single)),
        find_record(api, place),
        find_elsewhere(api, place),
    )
    return replace(facts, denied=denied, record=record, elsewhere=elsewhere)


async def find_denied(api: Api, rights: list[Right]) -> tuple[str, ...] | Unseen:
    answers = await asyncio.gather(*(api.is_allowed(right.attributes()) for right in rights))
    for answer in answers:
        if isinstance(answer, Unseen):
            return answer
    return tuple(str(right) for right, answer in zip(rights, answers, strict=True) if not answer)


async def find_elsewhere(api: Api, place: str) -> str | Unseen:
    """In what other namespace it is installed, for all of them; empty for none."""
    binding = await api.find(f"/apis/{RBAC}/v1/clusterrolebindings/{CONTROL_SERVICE}")
    if not isinstance(binding, dict):
        return binding or ""
    places = [str(subject.get("namespace", "")) for subject in binding.get("subjects") or []]
    return next((other for other in places if other != place), "")


async def find_record(api: Api, place: str) -> Record | Unseen | None:
    found = await api.find(f"/api/v1/namespaces/{place}/configmaps/{RECORD}")
    return understand(found) if isinstance(found, dict) else found


def understand(found: Object) -> Record | Malformed:
    """Whatever somebody has written into it by hand: what is known of it fits together."""
    try:
        record = read_record(found)
        complete({name: check(name, given, RECORD) for name, given in record.values.items() if name in BY_NAME})
    except ValuesError as error:
        return Malformed(str(error))
    except ValueError:
        return Malformed(f"{RECORD} holds what is no JSON")
    return record


async def survey_installation(api: Api, facts: Facts) -> Facts:
    place = facts.asked.namespace
    ours = {"labelSelector": f"{PART_OF}={PRODUCT}"}
    core, apps = f"/api/v1/namespaces/{place}", f"/apis/apps/v1/namespaces/{place}"
    record = await find_record(api, place)
    is_single = isinstance(record, Record) and bool(record.values.get("singleNamespace"))
    namespace, deployments, pods, services, budgets, elsewhere = await asyncio.gather(
        api.find(f"/api/v1/namespaces/{place}"),
        api.items(f"{apps}/deployments", **ours),
        api.items(f"{core}/pods", **ours),
        api.items(f"{core}/services", **ours),
        api.items(f"/apis/policy/v1/namespaces/{place}/poddisruptionbudgets", **ours),
        find_elsewhere(api, place) if record is None else answer_with(""),
    )
    nobody = Unseen("a single-namespace installation has no webhook")
    webhook, guard, secret, pages = await asyncio.gather(
        answer_with(nobody) if is_single else api.find(f"{_ADMISSION}/mutatingwebhookconfigurations/{INJECTOR}"),
        answer_with(()) if is_single else find_guard(api),
        answer_with(nobody) if is_single else api.find(f"{core}/secrets/{INJECTOR}"),
        read_pages(api, place, pods),
    )
    # After the pages: whose stream ended with its pod meanwhile is then known to be going, and not lost.
    scope = await survey_scope(api, facts.asked.workloads or (place if is_single else ""))
    return replace(
        facts,
        elsewhere=elsewhere,
        namespace=namespace,
        record=record,
        deployments=deployments,
        own_pods=pods,
        own_services=services,
        budgets=budgets,
        webhook=webhook,
        guard=guard,
        secret=secret,
        scope=scope,
        pages=pages,
    )


async def find_guard(api: Api) -> tuple[Object | Unseen | None, ...]:
    """Before Kubernetes 1.30 there is no such kind."""
    return tuple(await asyncio.gather(*(api.find(f"{_ADMISSION}/{kind}/{INJECTOR}") for kind in _GUARD)))


async def answer_with(known: T) -> T:
    return known


async def read_pages(api: Api, place: str, pods: tuple[Object, ...] | Unseen) -> Mapping[str, Object | Unseen] | Unseen:
    """What each running pod of the control plane knows, by way of the API server."""
    if isinstance(pods, Unseen):
        return pods
    names = [
        pod["metadata"]["name"]
        for pod in pods
        if pod["metadata"].get("labels", {}).get(COMPONENT) == CONTROL_PLANE
        and (pod.get("status") or {}).get("phase") == "Running"
        and not is_going(pod)
    ]
    pages = await asyncio.gather(*(read_page(api, place, name) for name in names))
    return dict(zip(names, pages, strict=True))


async def read_page(api: Api, place: str, name: str) -> Object | Unseen:
    path = f"/api/v1/namespaces/{place}/pods/{name}:{CONTROL_ADMIN_PORT}/proxy/debug/config"
    found = await api.find(path)
    return found if found is not None else Unseen(f"the pod {name} is gone")
