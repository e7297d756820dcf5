"""What the commands ask a cluster: whether it is there and fit, what is installed, and what of it is left.

All of it is reading, with the rights of whoever calls: a question that is not allowed has no answer (None), and the
caller says what follows. Nothing is ever written from here: kubectl applies and deletes.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

from controlplane.sources.access import Access
from controlplane.sources.source import SourceError
from controlplane.sources.wire import Refusal
from mesh.access import Lost
from mesh.contract import CONTROL_SERVICE
from mesh.install.difference import differs
from mesh.install.parts.common import INSTANCE, PART_OF, PRODUCT, RBAC
from mesh.install.parts.place import RECORD, VALUE_PREFIX
from mesh.options import find_kubeconfig

Object = dict[str, Any]

HELM_RELEASE: Final = "meta.helm.sh/release-name"
_CONNECT_TIMEOUT_S: Final = 10.0
_ANSWER_TIMEOUT_S: Final = 30.0
_BODY_BYTES_MAX: Final = 32 << 20


class ClusterError(Exception):
    """The cluster cannot be asked, or is not fit, in one sentence."""


class Place(NamedTuple):
    """Where the API keeps one kind."""

    api_version: str
    kind: str
    plural: str
    is_namespaced: bool = True


ADMISSION: Final = "admissionregistration.k8s.io/v1"
# In the order in which they are best deleted: first what could block others, then what runs, last where it ran.
PLACES: Final = (
    Place(ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False),
    Place("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Place("apps/v1", "Deployment", "deployments"),
    Place("v1", "Service", "services"),
    Place(f"{RBAC}/v1", "RoleBinding", "rolebindings"),
    Place(f"{RBAC}/v1", "Role", "roles"),
    Place(f"{RBAC}/v1", "ClusterRoleBinding", "clusterrolebindings", False),
    Place(f"{RBAC}/v1", "ClusterRole", "clusterroles", False),
    Place(ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", False),
    Place(ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", False),
    Place("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Place("v1", "Secret", "secrets"),
    Place("coordination.k8s.io/v1", "Lease", "leases"),
    Place("v1", "ConfigMap", "configmaps"),
    Place("v1", "ServiceAccount", "serviceaccounts"),
    Place("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False),
    Place("v1", "Namespace", "namespaces", False),
)
NAMESPACED: Final = frozenset(place.plural for place in PLACES if place.is_namespaced)
_BY_KIND: Final[Mapping[str, Place]] = {place.kind: place for place in PLACES}


class Record(NamedTuple):
    """What is installed in a namespace; `release` is Helm's where it was Helm that did."""

    version: str
    values: dict[str, Any]
    release: str


class Remains(NamedTuple):
    """What an installation consists of now: minimal objects, in the order of PLACES; kinds that may not be listed."""

    objects: list[Object]
    kept: list[str]
    unseen: list[str]

    def in_namespace(self) -> Remains:
        """Where nothing was installed outside of its namespace, nothing outside is missed."""
        return self._replace(unseen=[plural for plural in self.unseen if plural in NAMESPACED])


class Cluster:
    """`async with Cluster(kubeconfig) as cluster:`; every question may raise ClusterError."""

    def __init__(self, kubeconfig: str | None) -> None:
        self._access = Access(locate(kubeconfig), _CONNECT_TIMEOUT_S)

    async def __aenter__(self) -> Self:
        try:
            await self._access.open()
        except SourceError as error:
            raise ClusterError(str(error)) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._access.close()

    async def get(self, path: str, **query: str) -> Object | None:
        """The answer's JSON; None where there is no such thing. Refusal where it may not be asked."""
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                body = await self._access.fetch(path, query, _BODY_BYTES_MAX)
            found: Object = json.loads(body)
            return found
        except Refusal as refusal:
            if refusal.code == 404:
                return None
            raise
        except (Lost, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            raise ClusterError(
                f"the cluster at {self._access.host} cannot be reached ({reason}); try kubectl cluster-info, or give "
                "--ignore-cluster"
            ) from None
        except ValueError:
            raise ClusterError(
                f"what answers at {self._access.host} is no Kubernetes API; see the kubeconfig"
            ) from None

    async def version(self) -> tuple[int, int]:
        try:
            answer = await self.get("/version")
        except Refusal as refusal:
            raise ClusterError(f"the cluster says: {refusal.text}; log in with kubectl first") from None
        return read_version(answer or {})

    async def record(self, namespace: str) -> Record | None:
        """What was installed here; None where nothing was."""
        try:
            found = await self.get(make_path(_BY_KIND["ConfigMap"], namespace, RECORD))
        except Refusal as refusal:
            raise ClusterError(
                f"whether Gossamer is installed in {namespace} cannot be seen ({refusal.text}); ask for the right to "
                "get ConfigMaps there, or give --ignore-cluster"
            ) from None
        return read_record(found) if found else None

    async def other_namespace(self, namespace: str) -> str:
        """Where else it is installed for all namespaces; empty where it is not, or where that cannot be seen."""
        try:
            found = await self.get(make_path(_BY_KIND["ClusterRoleBinding"], None, CONTROL_SERVICE))
        except Refusal:
            return ""
        subjects = [subject.get("namespace", "") for subject in (found or {}).get("subjects") or []]
        return next((other for other in subjects if other != namespace), "")

    async def state(self, item: Object) -> str:
        """What applying the object would do."""
        metadata = item["metadata"]
        try:
            found = await self.get(make_path(_BY_KIND[item["kind"]], metadata.get("namespace"), metadata["name"]))
        except Refusal:
            return "unseen"
        if found is None:
            return "create"
        return "change" if differs(item, found) else "unchanged"

    async def remains(self, namespace: str, purge: bool) -> Remains:
        """All that carries our labels; CRDs of which there are objects only with `purge`."""
        found = Remains([], [], [])
        for place in PLACES:
            chosen = f"{PART_OF}={PRODUCT}" + ("" if place.is_namespaced else f",{INSTANCE}={namespace}")
            try:
                answer = await self.get(make_path(place, namespace), labelSelector=chosen)
            except Refusal:
                found.unseen.append(place.plural)
                continue
            for item in (answer or {}).get("items") or []:
                if not purge and place.kind == "CustomResourceDefinition" and await self._is_used(item):
                    found.kept.append(item["metadata"]["name"])
                else:
                    found.objects.append(shorten(place, item))
        return found

    async def _is_used(self, definition: Object) -> bool:
        spec = definition["spec"]
        version = next(version["name"] for version in spec["versions"] if version.get("served"))
        path = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"
        try:
            answer = await self.get(path, limit="1")
        except Refusal:
            return True  # what cannot be seen may be there
        return bool((answer or {}).get("items"))


def locate(given: str | None) -> str | None:
    """The kubeconfig as kubectl finds it; None means the cluster in whose pod we run."""
    usual = Path.home() / ".kube" / "config"
    found = find_kubeconfig(given) or (str(usual) if usual.exists() else None)
    if found is None and "KUBERNETES_SERVICE_HOST" not in os.environ:
        raise ClusterError("there is no kubeconfig here; name the cluster with --kubeconfig FILE")
    return found


def make_path(place: Place, namespace: str | None, name: str = "") -> str:
    root = "/apis/" if "/" in place.api_version else "/api/"
    scope = f"/namespaces/{quote(namespace)}" if place.is_namespaced and namespace else ""
    return f"{root}{place.api_version}{scope}/{place.plural}" + (f"/{quote(name)}" if name else "")


def read_version(answer: Object) -> tuple[int, int]:
    """Clouds write a minor version as `29+`."""
    try:
        return int(answer["major"]), int("".join(char for char in answer["minor"] if char.isdigit()))
    except (KeyError, ValueError):
        raise ClusterError("the cluster does not say its version; is it Kubernetes?") from None


def read_record(found: Object) -> Record:
    data = found.get("data") or {}
    values = {
        name.removeprefix(VALUE_PREFIX): read_value(text)
        for name, text in data.items()
        if name.startswith(VALUE_PREFIX)
    }
    annotations = found["metadata"].get("annotations") or {}
    return Record(data.get("version", ""), values, annotations.get(HELM_RELEASE, ""))


def read_value(text: str) -> Any:
    """What is no JSON was written by hand; as a text it is judged like any other value."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def shorten(place: Place, item: Object) -> Object:
    """What kubectl needs to delete it."""
    scope = {"namespace": item["metadata"]["namespace"]} if place.is_namespaced else {}
    return {
        "apiVersion": place.api_version,
        "kind": place.kind,
        "metadata": {"name": item["metadata"]["name"], **scope},
    }
