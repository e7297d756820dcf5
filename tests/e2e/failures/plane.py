"""`mesh controlplane --source kubernetes` as a process, with shorter waits, so that failures do not take minutes.

`-m tests.e2e.failures.plane SETTINGS OPTIONS...` is the command itself but for these, and for endpoints on loopback,
which are where the backends of these tests are; with `limits=None` its waits are those that users have.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop

from controlplane.main import STALE_S, ControlPlane
from controlplane.options import parse
from controlplane.sources.course import Limits
from controlplane.sources.kubernetes import KubernetesSource
from mesh.log import take_over_logging
from tests.e2e import controlplane_process
from tests.e2e.processes import HOST, Process

LIMITS = Limits(retry_s=(0.05, 0.5), denied_s=(0.2, 0.5), steady_s=1, list_timeout_s=20, stall_s=60)


class Plane(controlplane_process.ControlPlane):
    """A control plane over the API that a kubeconfig leads to. `limits` None: those of the product."""

    def __init__(
        self,
        kubeconfig: Path | str,
        *options: str,
        limits: Limits | None = LIMITS,
        stale_s: float = STALE_S,
        xds: str = f"{HOST}:0",
        hash_seed: str = "random",
    ) -> None:
        settings = json.dumps({"stale_s": stale_s, "limits": limits and asdict(limits)})
        program = ["-m", "tests.e2e.failures.plane", settings]
        where = ["--kubeconfig", str(kubeconfig), "--xds", xds, "--admin", f"{HOST}:0"]
        command = ["env", f"PYTHONHASHSEED={hash_seed}", sys.executable, *program, "--source", "kubernetes"]
        Process.__init__(self, [*command, *where, *options])
        self.port = self.admin_port = 0
        self.until = "/ready"

    def problems(self) -> str:
        """What it says is wrong, in one string."""
        return "\n".join(json.loads(self.get("/debug/config")[1])["problems"])

    def __enter__(self) -> Plane:
        try:
            return self.wait_started(self.until)
        except BaseException:
            self.close()
            raise


def read_limits(fields: dict[str, Any]) -> Limits:
    return Limits(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})


async def serve(settings: dict[str, Any], argv: list[str]) -> int:
    options = parse(argv)
    limits = read_limits(settings["limits"]) if settings["limits"] else None
    source = KubernetesSource(options.kubeconfig, options.namespace, limits, loopback=True)
    return await ControlPlane(options, source, stale_s=settings["stale_s"]).run()


if __name__ == "__main__":
    take_over_logging("controlplane")
    sys.exit(uvloop.run(serve(json.loads(sys.argv[1]), sys.argv[2:])))
