"""One survey of a cluster: all questions that the checks need answered, asked once, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from injector.api.access import Lost, decode, read_message
from injector.options import NAME as INJECTOR
from mesh.check.api import Answer, Api
from mesh.check.facts import Asked, Facts, Object, Scope, Unseen
from mesh.check.pods import is_going
from mesh.check.rights import Right, list_rights
from mesh.contract import CONTROL_ADMIN_PORT, CONTROL_SERVICE, ENABLED, INJECT
from mesh.install.cluster import ClusterError, Record, read_record, read_version
from mesh.install.parts.common import COMPONENT, PART_OF, PRODUCT, RBAC
from mesh.install.parts.controlplane import COMPONENT as CONTROL_PLANE
from mesh.install.parts.place import RECORD

_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


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
    denied, record, binding = await asyncio.gather(
        find_denied(api, list_rights(place, facts.asked.is_single)),
        find_record(api, place),
        api.find(f"/apis/{RBAC}/v1/clusterrolebindings/{CONTROL_SERVICE}"),
    )
    if isinstance(binding, dict):
        subjects = binding.get("subjects") or []
        elsewhere: str | Unseen = next((item["namespace"] for item in subjects if item.get("namespace") != place), "")
    else:
        elsewhere = binding or ""
    return Facts(
        facts.asked,
        facts.now,
        version=facts.version,
        ahead_s=facts.ahead_s,
        denied=denied,
        record=record,
        elsewhere=elsewhere,
    )


async def find_denied(api: Api, rights: list[Right]) -> tuple[str, ...] | Unseen:
    answers = await asyncio.gather(*(api.is_allowed(right.attributes()) for right in rights))
    for answer in answers:
        if isinstance(answer, Unseen):
            return answer
    return tuple(str(right) for right, answer in zip(rights, answers, strict=True) if not answer)


async def find_record(api: Api, place: str) -> Record | Unseen | None:
    found = await api.find(f"/api/v1/namespaces/{place}/configmaps/{RECORD}")
    return read_record(found) if isinstance(found, dict) else found


async def survey_installation(api: Api, facts: Facts) -> Facts:
    place = facts.asked.namespace
    ours = {"labelSelector": f"{PART_OF}={PRODUCT}"}
    core, apps = f"/api/v1/namespaces/{place}", f"/apis/apps/v1/namespaces/{place}"
    record = await find_record(api, place)
    is_single = isinstance(record, Record) and bool(record.values.get("singleNamespace"))
    namespace, deployments, pods, budgets, scope = await asyncio.gather(
        api.find(f"/api/v1/namespaces/{place}"),
        api.items(f"{apps}/deployments", **ours),
        api.items(f"{core}/pods", **ours),
        api.items(f"/apis/policy/v1/namespaces/{place}/poddisruptionbudgets", **ours),
        survey_scope(api, place if is_single else None),
    )
    nobody = Unseen("a single-namespace installation has no webhook")
    webhook, secret, pages = await asyncio.gather(
        answer_with(nobody) if is_single else api.find(f"{_ADMISSION}/{INJECTOR}"),
        answer_with(nobody) if is_single else api.find(f"{core}/secrets/{INJECTOR}"),
        read_pages(api, place, pods),
    )
    return Facts(
        facts.asked,
        facts.now,
        version=facts.version,
        ahead_s=facts.ahead_s,
        namespace=namespace,
        record=record,
        deployments=deployments,
        own_pods=pods,
        budgets=budgets,
        webhook=webhook,
        secret=secret,
        scope=scope,
        pages=pages,
    )


async def answer_with(known: Unseen) -> Object | Unseen | None:
    return known


async def survey_scope(api: Api, only: str | None) -> Scope | Unseen:
    """The namespaces with our label; of a single-namespace installation, its own."""
    if only is not None:
        own = await api.find(f"/api/v1/namespaces/{only}")
        namespaces = {only: own if isinstance(own, dict) else {"metadata": {"name": only}}}
    else:
        found = await api.items("/api/v1/namespaces", labelSelector=f"{INJECT}={ENABLED}")
        if isinstance(found, Unseen):
            return found
        namespaces = {item["metadata"]["name"]: item for item in found}
    pods, services = await asyncio.gather(
        list_within(api, namespaces, "pods"), list_within(api, namespaces, "services")
    )
    return Scope(namespaces, pods, services)


async def list_within(api: Api, namespaces: Mapping[str, Object], plural: str) -> tuple[Object, ...] | Unseen:
    found: list[Object] = []
    for answer in await asyncio.gather(*(api.items(f"/api/v1/namespaces/{name}/{plural}") for name in namespaces)):
        if isinstance(answer, Unseen):
            return answer
        found += answer
    return tuple(found)


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
