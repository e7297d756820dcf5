"""The kernel's table of descriptors grows before anybody is served; in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from pathlib import Path
from proxy.net.descriptors import prepare_descriptors
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 256), limit))
prepare_descriptors()
print(Path("/proc/self/status").read_text(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("limit", "size"), [(600, 1_024), (20_000, 16_384)])
def test_the_table_is_as_large_as_it_may_get(limit: int, size: int) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(limit)], capture_output=True, text=True, check=True)
    assert int(re.findall(r"FDSize:\s+(\d+)", done.stdout)[0]) == size
    assert done.stdout.endswith(f"({limit}, {limit})\n")
