"""Requests really arrive: Envoy acknowledges much with which it serves nothing. One endpoint of four is dead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from controlplane.graph.mesh import DETECT, GRPC, Endpoint, Mesh, Target, Workload
from controlplane.translate.resource import ENVOY, View
from controlplane.translate.translator import Translator
from tests.e2e.calls import OPTIONS, backend_of, path
from tests.e2e.processes import GrpcBackend, free_port
from tests.golden.case import Client
from tests.golden.envoy import start_envoy
from tests.golden.recorder import Recorder
from tests.golden.walk import ask

NAME = "echo.demo.svc.cluster.local:8080"
CALLS = 90


@pytest.fixture(scope="module")
def endpoints() -> Iterator[tuple[Endpoint, ...]]:
    """Three backends in two localities, and an address where nobody listens in a third."""
    with ExitStack() as stack:
        ports = [stack.enter_context(GrpcBackend(name)).port for name in "abc"]
        zones = ("zone-a", "zone-a", "zone-b", "zone-c")
        workload = Workload("demo", "deployment", "echo", "echo", True)
        found = [
            Endpoint("127.0.0.1", port, f"echo-{port}", "", zone, (), workload)
            for port, zone in zip((*ports, free_port()), zones, strict=True)
        ]
        yield tuple(sorted(found))


def serving(protocol: str, endpoints: tuple[Endpoint, ...]) -> Translator:
    translator = Translator()
    target = Target(NAME, "demo", "echo", 8080, "", protocol, endpoints=endpoints)
    translator.update(Mesh(targets={NAME: target}), [NAME])
    return translator


@pytest.mark.parametrize("protocol", [GRPC, DETECT])
def test_requests_through_an_envoy(protocol: str, endpoints: tuple[Endpoint, ...], tmp_path: Path) -> None:
    translator, port = serving(protocol, endpoints), free_port()
    view = View(ENVOY, "demo", outbound_port=port)
    with Recorder() as recorder, start_envoy(tmp_path, recorder.port):
        recorder.serve(translator, view)
        recorder.wait(set(ask(translator, Client(view, ()))))
        options = [*OPTIONS, ("grpc.default_authority", "echo:8080")]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            call = channel.unary_unary(path("unary"))  # type: ignore[call-arg]
            answers = [call.with_call(b"", timeout=30, wait_for_ready=True) for _ in range(CALLS)]
    assert {backend_of(context.trailing_metadata()) for _, context in answers} == {"a", "b", "c"}


def test_requests_of_a_grpc_client(endpoints: tuple[Endpoint, ...]) -> None:
    with Recorder() as recorder:
        recorder.serve(serving(GRPC, endpoints), View("grpc", "demo"))
        script = str(Path(__file__).with_name("grpc_client.py"))
        argv = [sys.executable, script, str(recorder.port), str(CALLS), "echo.demo:8080"]
        calls = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=100).stdout.split()
    assert len(calls) == CALLS
    assert set(calls) == {"a", "b", "c"}
