"""Memory of a running proxy stays flat: over 100,000 requests, and over 1,000 that end in every abnormal way.

A warm-up comes first: buffers, memo and the allocator's arenas reach their size with the first requests. What is
allowed then is less than a few bytes for each request.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.processes import HOST, Nghttpd, eventually, free_port, nghttp2
from tests.e2e.proxy_process import Proxy
from tests.e2e.wire import CANCEL, DATA, HEADERS, RST_STREAM, Client, Server

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def fast_proxy(tmp_path: Path) -> Iterator[Proxy]:
    (tmp_path / "index.html").write_text("x" * 100)
    with ExitStack() as stack:
        servers = [stack.enter_context(Nghttpd(tmp_path)) for _ in range(2)]
        yield stack.enter_context(Proxy([server.address for server in servers]))


def load(proxy: Proxy, requests: int) -> None:
    """That many requests, all of which must succeed."""
    shape = ["-n", str(requests), "-c", "8", "-m", "32", "-t", "1"]
    argv = [nghttp2("h2load"), *shape, "-H", "te: trailers", f"http://{proxy.address}/index.html"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=150, check=True)
    assert f"{requests} succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout


def test_memory_is_flat_over_100_000_requests(fast_proxy: Proxy) -> None:
    load(fast_proxy, 30_000)
    before = fast_proxy.anon_kib()
    load(fast_proxy, 100_000)
    assert fast_proxy.anon_kib() - before < 1000


def reset_streams(proxy: Proxy, count: int) -> None:
    """Requests that the client resets in the middle of their answers."""
    with Client(proxy.address) as client:
        for _ in range(count):
            stream = client.request("/bytes/100000000")
            while (frame := client.receive()) is None or (frame.kind, frame.stream) != (DATA, stream):
                assert frame is not None
                assert frame.kind != RST_STREAM
            client.credit(0, 65535)
            client.send(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))


def break_connections(proxy: Proxy, count: int) -> None:
    """Connections that the client resets in the middle of an answer, of an upload, or of a frame."""
    for number in range(count):
        with Client(proxy.address) as client:
            client.request("/hold" if number % 2 else "/sink", end=bool(number % 2))
            while (frame := client.receive()) is None or frame.kind != HEADERS:
                assert frame is not None
            if number % 2 == 0:
                client.socket.sendall(b"\0\x40\0\0\0\0\0\0\1" + bytes(1000))
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_memory_is_flat_over_1000_aborted_requests() -> None:
    with Server() as server, Proxy([server.address]) as proxy:

        def abort() -> None:
            for _ in range(5):
                reset_streams(proxy, 100)
            break_connections(proxy, 500)
            eventually(lambda: server.open_streams == 0, "every cancellation to reach the server")

        abort()
        before = proxy.anon_kib()
        abort()
        assert len(server.resets) == 2000
        assert proxy.anon_kib() - before < 1000


def test_memory_is_flat_over_1000_failed_requests() -> None:
    """No endpoint: every request is answered by the proxy itself."""
    with Proxy([f"{HOST}:{free_port()}"], until="/live") as proxy:

        def fail(count: int) -> None:
            with Client(proxy.address) as client:
                for _ in range(count):
                    headers, _, trailers = client.exchange("/e2e.Echo/unary")
                    assert (headers[":status"], trailers["grpc-status"]) == ("200", "14")

        fail(500)
        before = proxy.anon_kib()
        fail(1000)
        assert proxy.anon_kib() - before < 1000
