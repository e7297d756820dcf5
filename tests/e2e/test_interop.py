"""gRPC's interop client and server (Go) with `mesh proxy` between: every case that needs neither TLS nor tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.interop import InteropServer, run_case
from tests.e2e.proxy_process import Proxy

pytestmark = pytest.mark.timeout(60)

CASES = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
]
# Not here: pick_first_unary, which wants a server that tells its name; this one does not, with or without a proxy.
CASES_OF_ONE_SERVER = ["orca_per_rpc", "orca_oob"]  # load reports are of one server
LOAD_REPORTS = '{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}'
SOAK = ["--soak_iterations=200", "--soak_num_threads=4", "--soak_overall_timeout_seconds=40"]


@pytest.fixture(scope="module")
def proxy_to_interop() -> Iterator[Proxy]:
    """A proxy in front of two interop servers."""
    with ExitStack() as stack:
        servers = [stack.enter_context(InteropServer()) for _ in range(2)]
        yield stack.enter_context(Proxy([server.address for server in servers]))


@pytest.fixture(scope="module")
def proxy_to_one() -> Iterator[Proxy]:
    with InteropServer() as server, Proxy([server.address]) as proxy:
        yield proxy


@pytest.mark.parametrize("case", CASES)
def test_case_through_the_proxy(proxy_to_interop: Proxy, case: str) -> None:
    done = run_case(proxy_to_interop.address, case)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("case", ["rpc_soak", "channel_soak"])
def test_soak_through_the_proxy(proxy_to_interop: Proxy, case: str) -> None:
    done = run_case(proxy_to_interop.address, case, *SOAK)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("case", CASES_OF_ONE_SERVER)
def test_case_of_one_server_through_the_proxy(proxy_to_one: Proxy, case: str) -> None:
    options = [f"--service_config_json={LOAD_REPORTS}"] if case.startswith("orca") else []
    done = run_case(proxy_to_one.address, case, *options)
    assert done.returncode == 0, done.stderr


def test_a_client_that_meets_no_server_fails(proxy_to_interop: Proxy) -> None:
    """The cases above can fail: an exit code of 0 means something."""
    with InteropServer() as server:
        address = server.address
    assert run_case(address, "empty_unary").returncode != 0
