"""Every value of an installation: its name, default, what it may be, and what it does. The one list of them.

From it come the checks of `--set` and `-f`, the chart's values.yaml and values.schema.json, and the table in
docs/installation.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from mesh.contract import CLUSTER_DOMAIN, IMAGE

_DNS: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUANTITY: Final = r"|[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?"
_PART: Final = r"[a-z0-9][-._a-z0-9]*"
REPLICAS_MAX: Final = 100


class Kind(StrEnum):
    """What a value is, by its name in JSON schema."""

    TEXT = "string"
    FLAG = "boolean"
    NUMBER = "integer"
    MAP = "object"
    LIST = "array"


class Key(NamedTuple):
    """One value. `allowed` says in words what `pattern` asks for."""

    name: str
    default: Any
    kind: Kind
    meaning: str
    choices: tuple[str, ...] = ()
    pattern: str = ""
    allowed: str = ""
    least: int = 0
    most: int = 0
    items: Kind = Kind.TEXT


def name_key(name: str, default: str, meaning: str, pattern: str, allowed: str) -> Key:
    return Key(name, default, Kind.TEXT, meaning, pattern=pattern, allowed=allowed)


def resource_keys(part: str, requests: tuple[str, str], limits: tuple[str, str]) -> list[Key]:
    given = {"requests": requests, "limits": limits}
    return [
        Key(
            f"{part}.resources.{side}.{resource}",
            amount,
            Kind.TEXT,
            f"{resource} {'requested' if side == 'requests' else 'at most'}; empty: not said",
            pattern=_QUANTITY,
            allowed="a quantity such as 100m, 0.5, 128Mi or 1Gi, or empty",
        )
        for side, amounts in given.items()
        for resource, amount in zip(("cpu", "memory"), amounts, strict=True)
    ]


KEYS: Final[tuple[Key, ...]] = (
    name_key(
        "image.name",
        IMAGE,
        "the image of all parts, the sidecar too, without its tag",
        rf"({_PART}(:[0-9]{{1,5}})?/)?{_PART}(/{_PART})*",
        "an image's name without tag or digest, which are image.tag and image.digest",
    ),
    name_key(
        "image.tag",
        "",
        "its tag; empty: the version that is installed",
        r"|[A-Za-z0-9_][-._A-Za-z0-9]{0,127}",
        "a tag, or empty",
    ),
    name_key(
        "image.digest",
        "",
        "the image by its digest, such as `sha256:...`; the tag is then ignored; empty: by the tag",
        r"|sha256:[0-9a-f]{64}",
        "a digest such as sha256: and 64 hexadecimal digits, or empty",
    ),
    Key(
        "image.pullPolicy",
        "IfNotPresent",
        Kind.TEXT,
        "when the kubelet pulls it",
        choices=("Always", "IfNotPresent", "Never"),
    ),
    Key(
        "image.pullSecrets",
        [],
        Kind.LIST,
        "Secrets to pull it with, as Kubernetes writes them: `[{name: NAME}]`",
        items=Kind.MAP,
    ),
    name_key("clusterDomain", CLUSTER_DOMAIN, "the cluster's DNS domain", rf"{_DNS}(\.{_DNS})*", "a DNS name"),
    Key(
        "createNamespace",
        False,
        Kind.FLAG,
        "make the namespace too, with PodSecurity `restricted`; `mesh install` sets it, unless for a single namespace",
    ),
    Key(
        "singleNamespace",
        False,
        Kind.FLAG,
        "serve only the namespace of the installation: a Role, nothing cluster-wide, no webhook",
    ),
    Key("controlPlane.replicas", 1, Kind.NUMBER, "pods of the control plane", least=1, most=REPLICAS_MAX),
    *resource_keys("controlPlane", ("100m", "128Mi"), ("", "1Gi")),
    Key("injector.enabled", True, Kind.FLAG, "whether the webhook that puts the sidecar into pods is installed"),
    Key("injector.replicas", 1, Kind.NUMBER, "pods of the injector", least=1, most=REPLICAS_MAX),
    *resource_keys("injector", ("50m", "64Mi"), ("", "256Mi")),
    Key(
        "injector.failurePolicy",
        "Ignore",
        Kind.TEXT,
        "while no injector answers, pods in meshed namespaces start without a sidecar, or fail",
        choices=("Ignore", "Fail"),
    ),
    Key("injector.timeoutSeconds", 5, Kind.NUMBER, "how long the API server waits for the injector", least=1, most=30),
    Key(
        "injector.admissionPolicy",
        True,
        Kind.FLAG,
        "a ValidatingAdmissionPolicy that lets the injector write `caBundle` and nothing else; Kubernetes 1.30",
    ),
    Key(
        "networkPolicy.enabled",
        False,
        Kind.FLAG,
        "NetworkPolicies: only pods of the cluster (or of the single namespace) call the control plane; and these two",
    ),
    Key(
        "networkPolicy.webhook",
        [],
        Kind.LIST,
        "who calls the webhook (8443): the API server, such as `[{ipBlock: {cidr: 10.0.0.0/28}}]`; empty: everybody",
        items=Kind.MAP,
    ),
    Key(
        "networkPolicy.admin",
        [],
        Kind.LIST,
        "who asks the admin ports (4192, 4193) beside the kubelet: Prometheus, and the API server for `mesh check`; "
        "empty: everybody",
        items=Kind.MAP,
    ),
    Key(
        "antiAffinity",
        "preferred",
        Kind.TEXT,
        "whether replicas must, or just should, be on different nodes",
        choices=("preferred", "required"),
    ),
    Key("podDisruptionBudget", False, Kind.FLAG, "let a drain take one replica at a time; for two replicas or more"),
    Key("nodeSelector", {"kubernetes.io/os": "linux"}, Kind.MAP, "labels of the nodes to run on"),
    Key("tolerations", [], Kind.LIST, "taints to run on all the same, as Kubernetes writes them", items=Kind.MAP),
    name_key(
        "priorityClassName",
        "",
        "the PriorityClass of all pods; empty: none",
        rf"|{_DNS}(\.{_DNS})*",
        "the name of a PriorityClass, or empty",
    ),
    Key("podAnnotations", {}, Kind.MAP, "annotations of all pods"),
    Key("proxy", {}, Kind.MAP, "defaults of the annotations `config.gossamer.mesh/...` (docs/injection.md), as texts"),
    Key(
        "locked",
        [],
        Kind.LIST,
        "options of `proxy` that annotations may not change, such as `[proxy-image]`: a pod that tries is refused",
    ),
)

BY_NAME: Final[Mapping[str, Key]] = {key.name: key for key in KEYS}
DEFAULTS: Final[Mapping[str, Any]] = {key.name: key.default for key in KEYS}

# What `--ha` sets, and values-ha.yaml of the chart.
HIGH_AVAILABILITY: Final[Mapping[str, Any]] = {
    "antiAffinity": "required",
    "controlPlane.replicas": 3,
    "controlPlane.resources.requests.memory": "256Mi",
    "injector.failurePolicy": "Fail",
    "injector.replicas": 3,
    "podDisruptionBudget": True,
}
