"""What a sidecar is told of its pod's life, by variables that the injector sets (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from proxy.config.values import ValueProblem, is_ipv4, is_ipv6, parse_duration
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from proxy.net.probe import Probe

T = TypeVar("T")
_MAX_S = 3600.0


@dataclass(frozen=True, slots=True)
class Life:
    """`drain_timeout_s` is None where the configuration's counts; `probes` are by the path that asks for them."""

    drain_delay_s: float = 5.0
    shutdown_grace_s: float = 0.0
    drain_timeout_s: float | None = None
    pod_ip: str = ""
    probes: Mapping[str, Probe] = field(default_factory=dict)


def read_life(environment: Mapping[str, str]) -> Life:
    pod_ip = environment.get("GOSSAMER_POD_IP", "").strip("[]")
    if pod_ip and not is_ipv4(pod_ip) and not is_ipv6(pod_ip):
        raise ConfigError(f"GOSSAMER_POD_IP: '{pod_ip}' is no IP address; set it from the downward API's status.podIP")
    probes: dict[str, Probe] = {}
    if text := environment.get("GOSSAMER_PROBES"):
        from proxy.admin.probes import parse_probes  # a proxy without probes does not pay for TLS and JSON

        probes = parse_probes(text)
    if probes and not pod_ip:
        raise ConfigError("GOSSAMER_PROBES needs GOSSAMER_POD_IP, the address to probe")
    return Life(
        drain_delay_s=read_duration(environment, "GOSSAMER_DRAIN_DELAY", 5.0),
        shutdown_grace_s=read_duration(environment, "GOSSAMER_SHUTDOWN_GRACE", 0.0),
        drain_timeout_s=read_duration(environment, "GOSSAMER_DRAIN_TIMEOUT", None),
        pod_ip=pod_ip,
        probes=probes,
    )


def read_duration(environment: Mapping[str, str], name: str, default: T) -> float | T:
    text = environment.get(name)
    if not text:
        return default
    if text in ("0", "0s"):
        return 0.0
    try:
        seconds = parse_duration(text)
    except ValueProblem as problem:
        raise ConfigError(f"{name}: {problem}") from None
    if seconds > _MAX_S:
        raise ConfigError(f"{name}: '{text}' is out of range (up to 1h)")
    return seconds
