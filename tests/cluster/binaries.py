"""Where the programs of the cluster lie: in KUBEBUILDER_ASSETS, where build.sh puts them, or on the PATH.

Nothing is built from here: that takes minutes, and a test that lacks a program says how to get it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from tests.requirement import require

HERE = Path(__file__).parent
ADVICE = "bash tests/cluster/build.sh builds them, or set KUBEBUILDER_ASSETS"


@functools.cache
def search_path() -> str:
    built = subprocess.run([HERE / "build.sh", "--print"], capture_output=True, check=True, text=True).stdout.strip()
    given = [os.environ["KUBEBUILDER_ASSETS"]] if "KUBEBUILDER_ASSETS" in os.environ else []
    return ":".join([*given, built, os.environ["PATH"], "/usr/sbin", "/sbin"])


def find_program(name: str) -> str:
    """The path of a program; a KeyError without it."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise KeyError(f"{name} is missing: {ADVICE}")
    return found


def require_programs(*names: str) -> None:
    """Skip the test without these programs; under CI, fail."""
    missing = [name for name in names if shutil.which(name, path=search_path()) is None]
    require(not missing, f"missing: {', '.join(missing)}; {ADVICE}")
