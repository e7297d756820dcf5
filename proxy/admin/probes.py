"""`GOSSAMER_PROBES`: the probes that the injector took from the pod's containers, as JSON.

    {"CONTAINER": {"liveness": PROBE, "readiness": PROBE, "startup": PROBE}}

PROBE is Kubernetes' own `Probe`, of which `httpGet`, `tcpSocket` or `grpc`, and `timeoutSeconds`, are read; named ports
are numbers already. What comes out is keyed by the paths at which they are asked for. Every failure is a ConfigError.
"""

from __future__ import annotations

from typing import Any, NoReturn

from proxy.admin.http import TOKEN_CHARS
from proxy.errors import ConfigError
from proxy.net.probe import Grpc, HttpGet, Probe, TcpSocket

VARIABLE = "GOSSAMER_PROBES"
KINDS = ("liveness", "readiness", "startup")
MAX_PROBES = 100
_MAX_TIMEOUT_S = 3600


def parse_probes(text: str) -> dict[str, Probe]:
    import json  # only where there are some

    try:
        containers = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"{VARIABLE} is no JSON") from None
    found = {}
    for container, kinds in read_object(containers, "", "containers").items():
        if not container or not TOKEN_CHARS.issuperset(container.encode()):
            fail("", f"'{container}' is no name of a container")
        for kind, value in read_object(kinds, container, "probes").items():
            where = f"{container}.{kind}"
            if kind not in KINDS:
                fail(where, f"there is no such probe; there are {', '.join(KINDS)}")
            found[f"/app-health/{container}/{kind}"] = parse_probe(read_object(value, where, "a probe"), where)
    if len(found) > MAX_PROBES:
        fail("", f"{len(found)} probes are more than {MAX_PROBES}")
    return found


def parse_probe(value: dict[str, Any], where: str) -> Probe:
    timeout_s = value.get("timeoutSeconds")
    if timeout_s is None:
        timeout_s = 1
    if not is_number(timeout_s, 1, _MAX_TIMEOUT_S):
        fail(f"{where}.timeoutSeconds", f"it is no number from 1 to {_MAX_TIMEOUT_S}")
    kinds = [kind for kind in ("httpGet", "tcpSocket", "grpc") if value.get(kind) is not None]
    if len(kinds) != 1:
        fail(where, "it has not exactly one of httpGet, tcpSocket and grpc (exec stays with its container)")
    where = f"{where}.{kinds[0]}"
    target = read_object(value[kinds[0]], where, "a target")
    port: Any = target.get("port")
    if not is_number(port, 1, 65_535):
        fail(f"{where}.port", "it is no port from 1 to 65535 (the injector resolves names)")
    if kinds[0] == "grpc":
        return Probe(Grpc(port, read_text(target, "service", where)), timeout_s)
    host = read_text(target, "host", where).strip("[]")
    if kinds[0] == "tcpSocket":
        return Probe(TcpSocket(port, host), timeout_s)
    return Probe(parse_http(target, port, host, where), timeout_s)


def parse_http(target: dict[str, Any], port: int, host: str, where: str) -> HttpGet:
    scheme = read_text(target, "scheme", where).upper()
    if scheme not in ("", "HTTP", "HTTPS"):
        fail(f"{where}.scheme", "it is neither HTTP nor HTTPS")
    headers = target.get("httpHeaders")
    if headers is None:
        headers = []
    if not isinstance(headers, list):
        fail(f"{where}.httpHeaders", "it is no list")
    path = read_text(target, "path", where) or "/"
    return HttpGet(port, path, host, scheme == "HTTPS", tuple(parse_header(header, where) for header in headers))


def parse_header(header: Any, where: str) -> tuple[str, str]:
    where = f"{where}.httpHeaders"
    header = read_object(header, where, "a header")
    name, value = read_text(header, "name", where), read_text(header, "value", where)
    if not name or not TOKEN_CHARS.issuperset(name.encode()):
        fail(where, f"'{name}' is no name of a header")
    return name, value


def read_object(value: Any, where: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        fail(where, f"it is no JSON object with {what}")
    return value


def read_text(target: dict[str, Any], name: str, where: str) -> str:
    value = target.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isprintable():
        fail(f"{where}.{name}", "it is no text of printable characters")
    return value


def is_number(value: Any, lowest: int, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def fail(where: str, problem: str) -> NoReturn:
    raise ConfigError(f"{VARIABLE}: {where}: {problem}" if where else f"{VARIABLE}: {problem}")
