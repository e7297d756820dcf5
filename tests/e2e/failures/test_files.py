"""Manifests that are written half, broken, vanish or come back: what was read last is served."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.controlplane_process import ControlPlane, write_backends
from tests.e2e.failures.scene import call_as, first_answer, make_sidecar, running, served_by, under_load, until
from tests.e2e.processes import GrpcBackend

NAME = "voting.demo.svc.cluster.local:8080"


def problems(plane: ControlPlane) -> list[str]:
    found: list[str] = json.loads(plane.get("/debug/config")[1])["problems"]
    return found


async def test_files_in_all_states_of_disrepair(tmp_path: Path, backends: list[GrpcBackend]) -> None:
    a, b, c = backends
    folder, away = tmp_path / "manifests", tmp_path / "away"
    folder.mkdir()
    write_backends(folder, "voting", [a.address, b.address])
    file = folder / "voting.yaml"
    async with running(ControlPlane(folder)) as plane, running(make_sidecar(plane.port)) as sidecar:
        async with under_load(sidecar, NAME) as load:
            whole = file.read_bytes()
            # In place: cut in the middle of an object, then of a character, then nothing but noise.
            for broken in (whole[: whole.index(b"conditions") + 20], b"\xe2\x82", b"\x00\xff" * 500):
                file.write_bytes(broken)
                await until(lambda: problems(plane), "the problem")
                await served_by(load, {"a", "b"})
            file.unlink()
            file.symlink_to(file.name)
            await until(lambda: problems(plane), "the problem")
            await served_by(load, {"a", "b"})
            file.unlink()
            write_backends(folder, "voting", [b.address, c.address])
            await served_by(load, {"b", "c"})
            folder.rename(away)
            await until(lambda: "cannot read the directory" in str(problems(plane)), "the problem")
            await load.answered(100)
            write_backends(away, "voting", [a.address, b.address])
            await served_by(load, {"b", "c"})
            away.rename(folder)
            await served_by(load, {"a", "b"})
            assert problems(plane) == []


async def test_a_file_that_vanishes_takes_its_service_with_it_alone(
    tmp_path: Path, backends: list[GrpcBackend]
) -> None:
    """It is what a deletion looks like. The other service goes on, and this one too once it is back."""
    a, b, c = backends
    write_backends(tmp_path, "voting", [a.address, b.address])
    write_backends(tmp_path, "doomed", [c.address])
    async with running(ControlPlane(tmp_path)) as plane, running(make_sidecar(plane.port)) as sidecar:
        async with under_load(sidecar, NAME) as load, call_as(sidecar, "doomed.demo:8080") as channel:
            assert await first_answer(channel) == "c"
            (tmp_path / "doomed.yaml").unlink()
            await until(lambda: "doomed" not in sidecar.admin_request("/config")[1], "the removal")
            await served_by(load, {"a", "b"})
            write_backends(tmp_path, "doomed", [c.address])
            assert await first_answer(channel) == "c"
