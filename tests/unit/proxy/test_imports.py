"""What a proxy without a control plane does not pay for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MESH = ("google", "envoy", "proxy.control", "proxy.destinations", "proxy.membership", "yaml", "grpc")
POD = (
    "proxy.interception",
    "proxy.inbound",
    "proxy.codec.h1_head",
    "proxy.relay.http1",
    "proxy.relay.opaque",
    "difflib",
)
EXTRA = (*MESH, *POD)
PROGRAM = f"import sys; from proxy.main import main; print(*(name for name in {EXTRA} if name in sys.modules))"


def test_protobuf_is_imported_only_with_a_control_plane() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
