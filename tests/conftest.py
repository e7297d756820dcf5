"""What all tests share: which form of the sidecar's code they run, and that nothing is left running.

`GOSSAMER_PURE=1` takes the source of compiled modules; otherwise they must be newer than it, and under CI all be there.
"""

from __future__ import annotations

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

from tests.forms import find_stale, find_uncompiled, use_source
from tests.requirement import IS_CI, require
from tests.survivors import find_survivors, mark_session

__all__ = ["require"]

pytest_plugins = ["tests.cluster.fixtures"]  # one API server and one node for the whole run

# Neither how long an example takes, nor how long it took to make, says anything on a machine that others use too.
settings.register_profile("gossamer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gossamer")

IS_PURE = os.environ.get("GOSSAMER_PURE") == "1"

if IS_PURE:
    use_source()  # here, since test modules import the sidecar when they are collected


def pytest_configure() -> None:
    if not IS_PURE and (stale := find_stale()):
        raise pytest.UsageError(
            f"older than their source: {', '.join(stale)}; run `make install`, or set GOSSAMER_PURE=1"
        )
    if IS_CI and not IS_PURE and (plain := find_uncompiled()):
        raise pytest.UsageError(f"not compiled under CI: {', '.join(plain)}")


def pytest_report_header() -> str:
    from mesh.build import HOT_PACKAGES, inspect_package  # imports proxy, so not before use_source()

    compiled = [module for package in HOT_PACKAGES for module in inspect_package(package).compiled]
    return f"sidecar: {len(compiled)} modules compiled" if compiled else "sidecar: plain Python"


def pytest_sessionstart() -> None:
    mark_session()


def pytest_sessionfinish(session: pytest.Session) -> None:
    for pid, command in find_survivors().items():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write(f"\nFAILED: a test left process {pid} running: {command}\n")
        os.kill(pid, signal.SIGKILL)
