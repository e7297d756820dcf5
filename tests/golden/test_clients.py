"""A real Envoy, a real grpcio client and our sidecar accept every resource of every golden case."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.translate.resource import CDS, ENVOY, GRPC, LDS, RDS, SIDECAR
from proxy.route.from_xds import read_cluster, read_endpoints, read_listener, read_routes
from tests.e2e.processes import Process
from tests.golden.case import Client, inputs, load
from tests.golden.envoy import start_envoy
from tests.golden.recorder import Recorder
from tests.golden.walk import as_dict, ask

each_case = pytest.mark.parametrize("path", inputs(), ids=lambda path: path.name.removesuffix(".in.yaml"))


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """What an Envoy says of what it is given; one for all cases, as it lives through all changes of a mesh."""
    with Recorder() as recorder, start_envoy(tmp_path_factory.mktemp("envoy"), recorder.port):
        yield recorder


@each_case
def test_envoy_accepts_all_resources(path: Path, envoy: Recorder) -> None:
    case = load(path)
    namespaces = sorted({client.view.namespace for client in case.clients})
    for namespace in namespaces:
        view = case.clients[0].view._replace(kind=ENVOY, namespace=namespace, outbound_port=0)
        translator = case.translator()
        asked = ask(translator, Client(view, ()))
        envoy.serve(translator, view)
        envoy.wait(set(asked))


@each_case
def test_grpc_accepts_all_resources(path: Path) -> None:
    case = load(path)
    for place in sorted({client.view._replace(kind=GRPC, outbound_port=0) for client in case.clients}):
        names = {name for client in case.clients for name in client.listeners} | case.mesh.targets.keys()
        translator = case.translator()
        asked = ask(translator, Client(place, tuple(sorted(names))))
        expected = {key for key, resource in asked.items() if resource}
        with Recorder() as recorder:
            recorder.serve(translator, place)
            argv = [
                sys.executable,
                str(Path(__file__).with_name("grpc_client.py")),
                str(recorder.port),
                "0",
                *sorted(names),
            ]
            with Process(argv):
                recorder.wait(expected)


@each_case
def test_the_sidecar_reads_all_resources(path: Path) -> None:
    case = load(path)
    for client in case.clients:
        asked = ask(case.translator(), Client(client.view._replace(kind=SIDECAR), client.listeners))
        for (type_url, name), resource in asked.items():
            if resource is None:
                continue
            if type_url == LDS:
                assert (RDS, read_listener(resource.body).route_name) in asked
            elif type_url == RDS:
                (route,) = read_routes(resource.body).routes
                assert (route.cluster, route.authorities, route.timeout_s) == (name, ("*",), None)
            elif type_url == CDS:
                cluster = read_cluster(resource.body)
                assert (cluster.endpoints_name == name) == (not cluster.endpoints)
            else:
                said = [locality["lb_endpoints"] for locality in as_dict(resource).get("endpoints", [])]
                read = read_endpoints(resource.body)
                assert len(read) == sum(map(len, said))
                assert {endpoint.weight for endpoint in read} <= {1}
