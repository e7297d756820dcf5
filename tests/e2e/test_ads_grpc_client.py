"""gRPC's own xDS client (`xds:///`) finds and follows what `mesh controlplane` serves: traffic, not ACKs."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.controlplane_process import ControlPlane, write_backends
from tests.e2e.processes import GrpcBackend, Process, eventually


class Caller(Process):
    """A client that calls all the time; `answers` is what it has printed."""

    def __init__(self, target: str) -> None:
        super().__init__([sys.executable, str(Path(__file__).with_name("xds_caller.py")), target])
        self.answers: list[str] = []
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        while line := self.read_line():
            self.answers.append(line)

    def until_only(self, *names: str) -> None:
        """Until the last answers come from these backends, from each of them."""
        start = len(self.answers)
        eventually(lambda: set(self.answers[start:][-30:]) == set(names) and len(self.answers) > start + 30, str(names))

    @property
    def failures(self) -> list[str]:
        return [answer for answer in self.answers if answer.startswith("failed")]


@pytest.fixture
def backends() -> Iterator[list[GrpcBackend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(GrpcBackend(name)) for name in ("a", "b", "c")]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "bootstrap.json"
    monkeypatch.setenv("GRPC_XDS_BOOTSTRAP", str(path))
    monkeypatch.setenv("no_grpc_proxy", "*")
    return path


def write_bootstrap(path: Path, address: str) -> None:
    server = {
        "server_uri": address,
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    }
    path.write_text(json.dumps({"xds_servers": [server], "node": {"id": "caller.demo"}}))


def test_grpc_follows_scale_up_scale_down_and_a_move(
    backends: list[GrpcBackend], bootstrap: Path, tmp_path: Path
) -> None:
    a, b, c = (backend.address for backend in backends)
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    write_backends(manifests, "voting", [a])
    with ControlPlane(manifests) as plane:
        write_bootstrap(bootstrap, plane.address)
        with Caller("xds:///voting.demo.svc.cluster.local:8080") as caller:
            caller.until_only("a")
            write_backends(manifests, "voting", [a, b])
            caller.until_only("a", "b")
            write_backends(manifests, "voting", [c])
            caller.until_only("c")
            assert caller.failures == []
            assert plane.metric("controlplane_xds_nacks_total") == 0


def test_grpc_goes_on_while_the_control_plane_is_away(
    backends: list[GrpcBackend], bootstrap: Path, tmp_path: Path
) -> None:
    a, b, _ = (backend.address for backend in backends)
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    write_backends(manifests, "voting", [a])
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(manifests))
        write_bootstrap(bootstrap, plane.address)
        caller = stack.enter_context(Caller("xds:///voting:8080"))
        caller.until_only("a")
        address = plane.address
        plane.kill()
        write_backends(manifests, "voting", [b])
        caller.until_only("a")
        stack.enter_context(ControlPlane(manifests, xds=address))
        caller.until_only("b")
        assert caller.failures == []
