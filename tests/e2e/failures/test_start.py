"""Beginnings: before the API is there, and with credentials that are wrong."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api_server import ApiServer
from tests.e2e.controlplane_process import run_to_end
from tests.e2e.failures.conftest import revive
from tests.e2e.failures.objects import Service
from tests.e2e.failures.plane import Plane
from tests.e2e.failures.scene import failure, make_sidecar, running, served_by, under_load, until
from tests.e2e.processes import HOST, GrpcBackend


def start_early(kubeconfig: Path | str) -> Plane:
    """One that will not be ready soon."""
    plane = Plane(kubeconfig)
    plane.until = "/live"
    return plane


async def test_a_control_plane_that_starts_before_the_api(
    api: ApiServer, namespace: str, backends: list[GrpcBackend]
) -> None:
    """Who asks it meanwhile waits: it is not told that there is nothing."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    api.server.kill()
    api.etcd.kill()
    async with (
        running(start_early(api.kubeconfig)) as plane,
        running(make_sidecar(plane.port, until="/live")) as sidecar,
    ):
        # Before that it may not even have a connection: on a busy machine it dials for longer than a request waits.
        while "no connection yet" in (said := await failure(sidecar, service.name)):
            assert plane.get("/live")[0] == 200
        assert "the control plane has not answered" in said
        await until(lambda: "cannot list services" in plane.problems(), "the problem")
        assert plane.get("/ready")[0] == 503
        await asyncio.to_thread(revive, api)
        async with under_load(sidecar, service.name) as load:
            service.replace(a, c)
            await served_by(load, {"b", "c"})


@pytest.mark.parametrize("wrong", ["server", "authority", "user", "token"])
async def test_a_kubeconfig_that_is_wrong_until_it_is_mended(
    wrong: str, api: ApiServer, namespace: str, backends: list[GrpcBackend], tmp_path: Path
) -> None:
    """What is wrong is said; the file may be mended without a restart where the API or TLS refuses what it says."""
    kubeconfig = tmp_path / "kubeconfig"
    config: dict[str, Any] = json.loads(api.kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    if wrong == "server":
        cluster["server"] = f"https://{HOST}:1"
    elif wrong == "authority":
        cluster["certificate-authority-data"] = make_other_authority(tmp_path)
    elif wrong == "user":
        user |= json.loads(api.write_user_kubeconfig("nobody").read_text())["users"][0]["user"]
    else:
        user.clear()
        user["token"] = "forged"
    kubeconfig.write_text(json.dumps(config))
    says = {
        "server": "check that the API server runs",
        "authority": "certificate",
        "user": "docs/rbac",
        "token": "check the credentials",
    }
    service = Service(api, namespace, backends[0])
    async with running(start_early(kubeconfig)) as plane:
        await until(lambda: says[wrong] in plane.problems(), says[wrong])
        assert plane.get("/ready")[0] == 503
        if wrong in ("authority", "token"):
            shutil.copy(api.kubeconfig, kubeconfig)
            async with running(make_sidecar(plane.port)) as sidecar, under_load(sidecar, service.name) as load:
                await served_by(load, {"a"})


def make_other_authority(folder: Path) -> str:
    """A CA that has signed nothing here, as kubeconfigs carry it."""
    from tests.cluster.authority import Authority

    authority = Authority(folder / "other", "https://nowhere")
    path = authority.write_certificate_kubeconfig("someone", "someone")
    text: str = json.loads(path.read_text())["clusters"][0]["cluster"]["certificate-authority-data"]
    return text


def test_a_kubeconfig_that_is_none(tmp_path: Path) -> None:
    for content in (None, "{half a"):
        path = tmp_path / "kubeconfig"
        if content is not None:
            path.write_text(content)
        options = ["--source", "kubernetes", "--kubeconfig", str(path), "--xds", f"{HOST}:0", "--admin", f"{HOST}:0"]
        code, _, stderr = run_to_end(*options)
        assert code == 2
        assert stderr.startswith(f"mesh controlplane: cannot use the kubeconfig {path}: "), stderr
        assert "Traceback" not in stderr
