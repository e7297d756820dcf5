"""Who calls a sidecar's own ports is led nowhere, and hears so where HTTP is spoken (DESIGN 3.4, 3.5)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from mesh.contract import ADMIN_PORT, INBOUND_PORT, OUTBOUND_PORT, PROXY_UID
from tests.e2e import proxy_process
from tests.e2e.processes import HOST, eventually
from tests.e2e.transparent.scene import MESH, Meshed, ask, run
from tests.netns.network import Network, Pod, require_namespaces

CALL = """
import grpc, sys
with grpc.insecure_channel(sys.argv[1]) as channel:
    try:
        channel.unary_unary("/a.B/c")(b"", timeout=20)
    except grpc.RpcError as error:
        print(error.code().name, dict(error.trailing_metadata())["gossamer-error"])
"""


SECOND = ADMIN_PORT + 1  # of the second worker


class Pods(NamedTuple):
    meshed: Meshed
    stranger: Pod


@pytest.fixture(scope="module")
def pods() -> Iterator[Pods]:
    require_namespaces()
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        pod, stranger = network.add_pod("meshed"), network.add_pod("stranger")
        pod.run([*MESH, "proxy", "init"], check=True)
        options = ["--intercept", "--admin", f"{HOST}:{ADMIN_PORT}"]
        sidecar = stack.enter_context(pod.start([*proxy_process.command(), *options], PROXY_UID, PROXY_UID))
        meshed = Meshed(pod, sidecar, None)
        eventually(meshed.is_ready, "the sidecar")
        yield Pods(meshed, stranger)


def ways(pods: Pods) -> list[tuple[Pod, str, int]]:
    own = pods.meshed.pod
    address = own.addresses[4]
    return [(pods.stranger, address, INBOUND_PORT), (own, address, INBOUND_PORT), (own, HOST, OUTBOUND_PORT)]


def test_http_1_is_answered(pods: Pods) -> None:
    for pod, host, port in ways(pods):
        status, text, headers = ask(pod, host, port)
        assert (status, headers["gossamer-error"]) == (508, "loop")
        assert "nobody led this connection here" in text


def test_grpc_is_answered(pods: Pods) -> None:
    for pod, host, port in ways(pods):
        done = run(pod, [sys.executable, "-c", CALL, f"{host}:{port}"])
        assert done.stdout == "ABORTED loop\n", done.stderr


def test_a_neighbour_is_not_led_to_the_admin_port_of_another_worker() -> None:
    """Whoever asked it by way of the sidecar would pass for the pod itself, which may end it."""
    require_namespaces()
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        pod, stranger = network.add_pod("meshed"), network.add_pod("stranger")
        pod.run([*MESH, "proxy", "init"], check=True)
        options = ["--intercept", "--admin", f"0.0.0.0:{ADMIN_PORT}", "--workers", "2"]
        sidecar = stack.enter_context(pod.start([*proxy_process.command(), *options], PROXY_UID, PROXY_UID))
        eventually(Meshed(pod, sidecar, None).is_ready, "the sidecar")
        status, _, headers = ask(stranger, pod.addresses[4], SECOND, "/shutdown", method="POST")
        assert (status, headers["gossamer-error"]) == (508, "loop")
        pod.run([*MESH, "proxy", "init", "--workers", "2"], check=True)
        status, _, headers = ask(stranger, pod.addresses[4], SECOND, "/live")
        assert (status, "gossamer-error" in headers) == (200, False)
        sidecar.signal(signal.SIGTERM)
        assert sidecar.wait() == 0, sidecar.stderr


@pytest.mark.parametrize("word", [b"", b"\x00raw"])
def test_anything_else_is_closed_and_counted(pods: Pods, word: bytes) -> None:
    """Silence too, and soon."""
    name = 'gossamer_failures_total{reason="loop"}'
    before = pods.meshed.metric(name)
    for pod, host, port in ways(pods):
        with pod.connect((host, port)) as sock:
            sock.sendall(word)
            try:
                assert sock.recv(100) == b""
            except ConnectionResetError:
                pass
    assert pods.meshed.metric(name) == before + 3
