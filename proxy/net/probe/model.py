"""What is to be probed, in the words of Kubernetes' `Probe`, and what came of it. Where `host` is empty, the pod is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class HttpGet:
    """`path` is a request target, with its query. A header `Host` replaces the authority of the URL."""

    port: int
    path: str = "/"
    host: str = ""
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSocket:
    port: int
    host: str = ""


@dataclass(frozen=True, slots=True)
class Grpc:
    """grpc.health.v1; an empty `service` asks for the server as a whole."""

    port: int
    service: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of one container; `timeout_s` is for all of it."""

    target: HttpGet | TcpSocket | Grpc
    timeout_s: float


class Verdict(NamedTuple):
    """`text` is one line for a person: what was asked, and what came."""

    healthy: bool
    text: str
