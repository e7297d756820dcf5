"""h2spec (generic, http2 and hpack parts, the strict cases too) against the proxy's listener, a real server behind it.

The proxy passes all of it: there is no list of exceptions (docs/conformance.md).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.e2e.interop import tools
from tests.e2e.processes import HOST, Nghttpd
from tests.e2e.proxy_process import Proxy

pytestmark = pytest.mark.timeout(180)

CASES = 146


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """In front of a server that answers GET and POST with a body of some size and trailers."""
    (tmp_path / "index.html").write_text("conformance " * 200)
    with Nghttpd(tmp_path) as server, Proxy([server.address]) as running:
        yield running


def run_h2spec(port: int, report: Path) -> dict[str, str]:
    """Run all parts; for each case `section: title` what was wrong, empty where it passed."""
    where = ["-h", HOST, "-p", str(port), "-P", "/index.html", "--strict", "-o", "2", "-j", str(report)]
    argv = [str(tools() / "h2spec"), "generic", "http2", "hpack", *where]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=170, check=False)
    results: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        title = f"{case.get('package')}: {case.get('classname')}"
        assert title not in results, f"two cases are called {title}"
        results[title] = "; ".join(f"{part.tag}: {part.text}" for part in case)
    assert (done.returncode != 0) == any(results.values()), done.stdout
    return results


def test_h2spec(proxy: Proxy, tmp_path: Path) -> None:
    results = run_h2spec(proxy.port, tmp_path / "report.xml")
    assert len(results) == CASES
    assert {title: wrong for title, wrong in results.items() if wrong} == {}
    assert proxy.admin_status("/ready") == 200
