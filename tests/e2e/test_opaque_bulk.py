"""A gigabyte to a reader that stops now and then: all of it arrives, and the sidecar's memory stays as it is."""

from __future__ import annotations

import socket
import time

from tests.e2e.opaque_stage import Server
from tests.e2e.processes import HOST
from tests.e2e.proxy_process import Proxy

SIZE = 1 << 30
PIECE = 1 << 20


def send_all(sock: socket.socket) -> None:
    piece = bytes(PIECE)
    for _ in range(SIZE // PIECE):
        sock.sendall(piece)


def test_a_gigabyte_to_a_slow_reader() -> None:
    with Server(send_all) as server:
        to = [f"{server.address[0]}:{server.address[1]}"]
        with Proxy(to, options=["--protocol", "tcp"]) as proxy:
            before_kib = most_kib = proxy.anon_kib()
            size = 0
            buffer = bytearray(PIECE)
            with socket.create_connection((HOST, proxy.port), 60) as client:
                while received := client.recv_into(buffer):
                    if size // (SIZE // 10) != (size + received) // (SIZE // 10):
                        time.sleep(0.1)
                        most_kib = max(most_kib, proxy.anon_kib())
                    size += received
            assert size == SIZE
            assert most_kib - before_kib < 4_096
        assert server.errors == []
