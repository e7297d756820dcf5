"""What a sidecar whose pod has no probes does not pay for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
EXTRA = ("json", "proxy.net.probe", "proxy.admin.health", "proxy.admin.probes", "proxy.hooks", "http.client")
PROGRAM = f"import sys; from proxy.main import main; print(*(name for name in {EXTRA} if name in sys.modules))"


def test_probes_are_imported_only_where_there_are_some() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
