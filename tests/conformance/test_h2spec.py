"""h2spec (generic, http2 and hpack parts) against the proxy's listener, with a real HTTP/2 server behind it.

Every exception is written down here, with the argument from the RFC in docs/conformance.md. A case that fails without
being an exception fails the test, and so does an exception that no longer fails.
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

# "section: case" -> why it is right that the proxy fails it.
EXCEPTIONS: dict[str, str] = {}
CASES = 146


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """In front of a server that answers GET and POST with a body of some size and trailers."""
    (tmp_path / "index.html").write_text("conformance " * 200)
    with Nghttpd(tmp_path) as server, Proxy([server.address]) as running:
        yield running


def run_h2spec(port: int, report: Path) -> dict[str, str]:
    """Run all parts; for each case `section: title` its failure, empty where it passed."""
    where = ["-h", HOST, "-p", str(port), "-P", "/index.html", "--strict", "-o", "2", "-j", str(report)]
    argv = [str(tools() / "h2spec"), "generic", "http2", "hpack", *where]
    subprocess.run(argv, capture_output=True, timeout=170, check=False)
    results: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failure = case.find("failure")
        title = f"{case.get('package')}: {case.get('classname')}"
        assert title not in results, f"two cases are called {title}"
        results[title] = "" if failure is None else f"{failure.text or 'failed'}"
        assert case.find("error") is None, title
    return results


def test_h2spec(proxy: Proxy, tmp_path: Path) -> None:
    results = run_h2spec(proxy.port, tmp_path / "report.xml")
    assert len(results) == CASES
    failures = {title: failure for title, failure in results.items() if failure}
    unexpected = [f"{title}\n{failure}" for title, failure in failures.items() if title not in EXCEPTIONS]
    assert not unexpected, "\n".join(unexpected)
    assert failures.keys() == EXCEPTIONS.keys(), "an exception no longer fails: take it off the list"
    assert proxy.admin_status("/ready") == 200
