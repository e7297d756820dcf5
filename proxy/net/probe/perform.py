"""Which kind of probe is performed how, its deadline, and the words for what the network says.

A probe goes to the pod's own address, as the kubelet's does: an application that listens on 127.0.0.1 only is as
unhealthy with the mesh as it is without.
"""

from __future__ import annotations

import asyncio

from proxy.net.adapter import describe
from proxy.net.probe.grpc import check_health
from proxy.net.probe.http import get
from proxy.net.probe.model import Grpc, HttpGet, Probe, TcpSocket, Verdict
from proxy.route.model import join_host_port

_MAX_TEXT_CHARS = 300


async def perform(probe: Probe, pod_ip: str, agent: str) -> Verdict:
    """Never raises but for a fault of ours; `agent` is the User-Agent to show."""
    what, port = describe_target(probe.target, pod_ip), probe.target.port
    try:
        async with asyncio.timeout(probe.timeout_s):
            healthy, text = await ask(probe.target, pod_ip, port, agent)
    except TimeoutError:
        healthy, text = False, f"no answer within {probe.timeout_s:g} s"
    except OSError as error:
        healthy, text = False, describe(error)
    return Verdict(healthy, clean(f"{what}: {text}"))


async def ask(target: HttpGet | TcpSocket | Grpc, pod_ip: str, port: int, agent: str) -> Verdict:
    if isinstance(target, HttpGet):
        return await get(target, pod_ip, agent)
    if isinstance(target, Grpc):
        return await check_health(pod_ip, port, target.service, agent)
    _, writer = await asyncio.open_connection(target.host or pod_ip, port)
    writer.transport.abort()
    return Verdict(True, "connected")


def describe_target(target: HttpGet | TcpSocket | Grpc, pod_ip: str) -> str:
    if isinstance(target, Grpc):
        service = f" of {target.service}" if target.service else ""
        return f"gRPC health{service} at {join_host_port(pod_ip, target.port)}"
    address = join_host_port(target.host or pod_ip, target.port)
    if isinstance(target, TcpSocket):
        return f"TCP {address}"
    return f"GET {'https' if target.tls else 'http'}://{address}{target.path}"


def clean(text: str) -> str:
    """One line of bounded length, whatever the application put into it."""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_TEXT_CHARS])
