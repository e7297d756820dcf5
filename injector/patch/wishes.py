"""What may be asked for by annotation: one table (`OPTIONS`), which docs/injection.md shows, and its reader.

The same names serve four places, of which the nearest to the pod counts: the pod, its namespace, the installation's
settings, the default here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

from injector.patch.fields import Refusal, cut, show
from injector.patch.values import (
    parse_choice,
    parse_duration,
    parse_flag,
    parse_image,
    parse_ports,
    parse_quantity,
    parse_subnets,
    parse_uid,
    parse_workers,
    read_quantity,
)
from mesh.contract import ADMIN_PORT, DISABLED, ENABLED, IMAGE, INJECT, INJECTED, OUR_ANNOTATIONS, PROXY_UID
from mesh.version import VERSION

_FLAG = "true or false"
_PORTS = "ports and ranges such as 25,8000-8100"
_TIME = "a time such as 500ms, 5s or 2m, up to 1h"
_AMOUNT = "an amount such as 100m or 64Mi"
# The sidecar's own, where servers are known to speak first.
OPAQUE_PORTS = "25,587,3306,4444,5432,6379,9300,11211"
_MAY_BE_NONE = (parse_ports, parse_subnets, parse_quantity, parse_duration)


class Option(NamedTuple):
    """`default` is text as in an annotation; an empty one stands for nothing."""

    parse: Callable[[str], Any]
    default: str
    allowed: str
    effect: str


OPTIONS: dict[str, Option] = {
    "interception": Option(
        parse_choice("init", "none"),
        "init",
        "init or none",
        "`init`: an init container leads the pod's connections to the sidecar. `none`: the application itself calls "
        "127.0.0.1:4140; no capability is needed",
    ),
    "native-sidecar": Option(
        parse_flag, "true", _FLAG, "an init container that stays (Kubernetes 1.29), or a plain container"
    ),
    "proxy-await": Option(parse_flag, "true", _FLAG, "the application starts when the sidecar is ready"),
    "rewrite-probes": Option(parse_flag, "true", _FLAG, "the kubelet's probes go by way of the sidecar's admin port"),
    "skip-inbound-ports": Option(parse_ports, "", _PORTS, "connections to these ports of the pod are left alone"),
    "skip-outbound-ports": Option(parse_ports, "", _PORTS, "connections from the pod to these ports are left alone"),
    "skip-subnets": Option(
        parse_subnets, "", "subnets such as 10.0.0.0/8,fd00::/8", "connections from and to these are left alone"
    ),
    "opaque-ports": Option(
        parse_ports,
        OPAQUE_PORTS,
        _PORTS,
        "connections to these ports of the pod are passed on as they are, without detection",
    ),
    "iptables-backend": Option(
        parse_choice("auto", "nft", "legacy"), "auto", "auto, nft or legacy", "the kernel's tables that are written"
    ),
    "proxy-image": Option(
        parse_image, f"{IMAGE}:{VERSION}", "an image such as name:tag", "the image of both our containers"
    ),
    "proxy-image-pull-policy": Option(
        parse_choice("Always", "IfNotPresent", "Never"),
        "IfNotPresent",
        "Always, IfNotPresent or Never",
        "their pull policy",
    ),
    "proxy-uid": Option(
        parse_uid, str(PROXY_UID), "a user id from 1", "the sidecar's user, which nothing else in the pod may have"
    ),
    "proxy-workers": Option(
        parse_workers,
        "1",
        "a number from 1 to 64",
        "processes of the sidecar, for pods that need more than one CPU for it; each has the memory and the admin port "
        "of one: 4191, 4192, ...",
    ),
    "proxy-cpu-request": Option(
        parse_quantity, "10m", _AMOUNT, "of both our containers; without any, an autoscaler by CPU would stop"
    ),
    "proxy-cpu-limit": Option(parse_quantity, "", _AMOUNT, "none if not given"),
    "proxy-memory-request": Option(parse_quantity, "40Mi", _AMOUNT, "of both our containers"),
    "proxy-memory-limit": Option(parse_quantity, "", _AMOUNT, "none if not given"),
    "drain-delay": Option(
        parse_duration, "", _TIME, "how long the pod is served on when it ends, while its removal spreads (5s)"
    ),
    "drain-timeout": Option(
        parse_duration,
        "",
        _TIME,
        "how long open requests may go on after that (30s, or what is left of the pod's grace period)",
    ),
    "shutdown-grace": Option(
        parse_duration, "", _TIME, "plain container: how long to serve on after SIGTERM (by the pod's grace period)"
    ),
}
# Read elsewhere: by the control plane, of Services.
_OF_SERVICES = ("headless",)
_OURS = "gossamer.mesh/"
_VALUE_MAX_CHARS = 8192  # all lists of ports that make sense
_STRANGE_MAX = 8
_NAME_MAX_CHARS = 80  # to look for one like it takes the square of its length
_KNOWN = (INJECT, INJECTED, *(f"{OUR_ANNOTATIONS}{name}" for name in (*OPTIONS, *_OF_SERVICES)))


@dataclass(frozen=True, slots=True)
class Wishes:
    """One pod's options, read. Texts are empty, and lists of ports too, where nothing is asked for."""

    interception: str
    native_sidecar: bool
    proxy_await: bool
    rewrite_probes: bool
    skip_inbound_ports: str
    skip_outbound_ports: str
    skip_subnets: str
    opaque_ports: str
    iptables_backend: str
    proxy_image: str
    proxy_image_pull_policy: str
    proxy_uid: int
    proxy_workers: int
    proxy_cpu_request: str
    proxy_cpu_limit: str
    proxy_memory_request: str
    proxy_memory_limit: str
    drain_delay: str
    drain_timeout: str
    shutdown_grace: str

    @property
    def admin_ports(self) -> range:
        return range(ADMIN_PORT, ADMIN_PORT + self.proxy_workers)

    @property
    def intercepts(self) -> bool:
        return self.interception == "init"


def read_wishes(
    pod: Mapping[str, str], namespace: Mapping[str, str], installed: Mapping[str, str], locked: Iterable[str] = ()
) -> Wishes:
    """By the annotations of both, and what the installation has instead of our defaults (without the prefix)."""
    check_locked(locked, pod, namespace)
    values: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        where, text = find(name, pod, namespace, installed)
        values[name] = read(name, option, text, where) if text else ""
    for kind in ("cpu", "memory"):
        check_limit(values, kind, pod, namespace)
    return Wishes(**{name.replace("-", "_"): value for name, value in values.items()})


def check_locked(locked: Iterable[str], *said: Mapping[str, str]) -> None:
    """What the installation has locked is not for those who write pods: it could be an image that runs as root."""
    for name in sorted(locked):
        if any(f"{OUR_ANNOTATIONS}{name}" in annotations for annotations in said):
            raise Refusal(f"annotation {OUR_ANNOTATIONS}{name}: the installation has locked it; leave it out")


def find(
    name: str, pod: Mapping[str, str], namespace: Mapping[str, str], installed: Mapping[str, str]
) -> tuple[str, str]:
    """Where it is said, and what. No text is no word, but for lists and amounts, of which it means none."""
    annotation, option = f"{OUR_ANNOTATIONS}{name}", OPTIONS[name]
    for where, said, key in (
        (f"annotation {annotation}", pod, annotation),
        (f"annotation {annotation} of the namespace", namespace, annotation),
        (f"{name} of the installation", installed, name),
    ):
        if key in said and ((text := said[key].strip()) or option.parse in _MAY_BE_NONE):
            return where, text
    return "", option.default


def read(name: str, option: Option, text: str, where: str) -> Any:
    try:
        if len(text) > _VALUE_MAX_CHARS:
            raise ValueError(name)
        return option.parse(text)
    except (ValueError, KeyError):
        raise Refusal(f"{where}: {show(text)} is not {option.allowed}") from None


def check_limit(values: dict[str, Any], kind: str, *said: Mapping[str, str]) -> None:
    """A limit below our own request means the request too; the API would refuse one below the user's."""
    request, limit = f"proxy-{kind}-request", f"proxy-{kind}-limit"
    if not values[limit] or not values[request] or read_quantity(values[request]) <= read_quantity(values[limit]):
        return
    if any(f"{OUR_ANNOTATIONS}{request}" in annotations for annotations in said):
        raise Refusal(f"annotation {OUR_ANNOTATIONS}{request}: {values[request]} is above the limit {values[limit]}")
    values[request] = values[limit]


def read_opinion(names: Mapping[str, str], what: str) -> str:
    """`enabled`, `disabled`, or nothing, by a label or an annotation."""
    text = names.get(INJECT, "")
    if text not in ("", ENABLED, DISABLED):
        raise Refusal(f"{what} {INJECT}: {show(text)} is not {ENABLED} or {DISABLED}")
    return text


def find_strange(names: Mapping[str, str], what: str) -> Iterator[str]:
    """A sentence for each name that looks like ours and is read by nobody, as far as anybody would read them."""
    strange = [name for name in names if name.startswith((_OURS, OUR_ANNOTATIONS)) and name not in _KNOWN]
    for name in strange[:_STRANGE_MAX]:
        near = get_close_matches(name, _KNOWN, 1) if len(name) <= _NAME_MAX_CHARS else []
        yield f"{what} {cut(name)} is unknown and has no effect" + (f"; did you mean {near[0]}?" if near else "")
    if len(strange) > _STRANGE_MAX:
        yield f"{len(strange) - _STRANGE_MAX} more {what}s are unknown and have no effect"
