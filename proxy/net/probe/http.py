"""A probe by `httpGet`, judged as the kubelet does (its pkg/probe/http): 200 to 399 is healthy.

Redirects are followed up to ten times while they stay on the host that was asked; one that leads elsewhere is a healthy
answer. Certificates are not verified, a connection serves one request, and the body must come too, up to 10 KiB.
What an application may send is read as leniently as Go's client reads it: this is no place to teach it HTTP.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from proxy.net.probe.model import HttpGet, Verdict
from proxy.route.model import join_host_port

_MAX_REDIRECTS = 10
_MAX_INTERIM = 5
_MAX_HEADERS = 1000
_MAX_BODY_BYTES = 10 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_BODYLESS = (204, 304)
# What may stand in a request target as it is.
_SAFE = "!#$%&'()*+,/:;=?@[]~-._"


class Response(NamedTuple):
    """The head of an answer; of headers that repeat, the first."""

    status: int
    headers: dict[str, str]


async def get(target: HttpGet, pod_ip: str, agent: str) -> Verdict:
    url = urlsplit(f"{'https' if target.tls else 'http'}://{join_host_port(target.host or pod_ip, target.port)}")
    url = url._replace(path=encode_target(target.path))
    first, host = url, own_header(target, "host")
    for _ in range(_MAX_REDIRECTS + 1):
        try:
            response = await ask(url, encode_request(url, target, host or url.netloc, agent))
        except (EOFError, ValueError) as error:
            return Verdict(False, str(error) if isinstance(error, ValueError) else "its answer breaks off")
        location = response.headers.get("location", "")
        if response.status not in _REDIRECTS or not location:
            return Verdict(200 <= response.status < 400, f"status {response.status}")
        try:
            url = follow(url, location)
        except ValueError:
            return Verdict(False, f"status {response.status} to what is no URL")
        if url.hostname != first.hostname:
            return Verdict(True, f"status {response.status} to another host")
        if urlsplit(location).netloc:
            host = ""
    return Verdict(False, f"stopped after {_MAX_REDIRECTS} redirects")


def follow(url: SplitResult, location: str) -> SplitResult:
    found = urlsplit(urljoin(url._replace(path=url.path.partition("?")[0]).geturl(), location))
    if found.scheme not in ("http", "https") or not found.hostname or found.port == 0:
        raise ValueError(location)
    query = f"?{found.query}" if found.query else ""
    return found._replace(path=encode_target(found.path + query), query="", fragment="")


def encode_target(path: str) -> str:
    """A request target, whatever was written: it begins with a slash, has no fragment, and is ASCII without spaces."""
    path = quote(path.partition("#")[0], safe=_SAFE)
    return path if path.startswith("/") else f"/{path}"


def own_header(target: HttpGet, name: str) -> str:
    return next((value for key, value in target.headers if key.lower() == name), "")


def encode_request(url: SplitResult, target: HttpGet, host: str, agent: str) -> bytes:
    given = {name.lower() for name, _ in target.headers}
    lines = [f"GET {url.path} HTTP/1.1", f"Host: {host}"]
    lines += [] if "user-agent" in given else [f"User-Agent: {agent}"]
    lines += [] if "accept" in given else ["Accept: */*"]
    # An empty Accept is how a probe asks for none.
    left_out = {"host", "connection", "" if own_header(target, "accept") else "accept"}
    lines += [f"{name}: {value}" for name, value in target.headers if name.lower() not in left_out]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


async def ask(url: SplitResult, request: bytes) -> Response:
    tls = url.scheme == "https"
    port = url.port or (443 if tls else 80)
    context = make_context() if tls else None
    reader, writer = await asyncio.open_connection(url.hostname, port, ssl=context)
    try:
        writer.write(request)
        for _ in range(_MAX_INTERIM + 1):
            response = await read_head(reader)
            if response.status >= 200 or response.status == 101:
                await read_body(reader, response)
                return response
        raise ValueError("it sends interim responses without end")
    finally:
        writer.transport.abort()


@cache
def make_context() -> ssl.SSLContext:
    """As the kubelet: the probe is to find out whether the application answers, not who it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def read_head(reader: asyncio.StreamReader) -> Response:
    line = await read_line(reader)
    version, _, rest = line.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (len(status) == 3 and status.isascii() and status.isdigit()):
        raise ValueError("it does not speak HTTP/1")
    headers: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        line = await read_line(reader)
        if not line:
            return Response(int(status), headers)
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), value.strip())
    raise ValueError("its answer has too many headers")


async def read_line(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()  # ValueError where it is too long
    if not line.endswith(b"\n"):
        raise EOFError
    return line.decode("latin-1").rstrip("\r\n")


async def read_body(reader: asyncio.StreamReader, response: Response) -> None:
    """To its end, or to the bound: one that does not come is a failure."""
    length = response.headers.get("content-length", "")
    if response.status in _BODYLESS or response.status < 200:
        return
    if response.headers.get("transfer-encoding", "").lower() == "chunked":
        await read_chunks(reader)
    elif length.isascii() and length.isdigit():
        await reader.readexactly(min(int(length[:19]), _MAX_BODY_BYTES))
    else:
        left = _MAX_BODY_BYTES
        while left > 0 and (data := await reader.read(left)):
            left -= len(data)


async def read_chunks(reader: asyncio.StreamReader) -> None:
    left = _MAX_BODY_BYTES
    while left > 0:
        line = await read_line(reader)
        try:
            size = int(line.partition(";")[0], 16)
        except ValueError:
            raise ValueError("its chunks are malformed") from None
        if size <= 0:
            return
        await reader.readexactly(min(size, left) + 2 * (size <= left))
        left -= size
