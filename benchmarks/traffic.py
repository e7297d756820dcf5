"""The load: a backend that pours out what it is asked for, one that echoes, and their clients, in threads of ours.

Every byte is counted at its end; a byte too few fails the run. The kernel does the work, so Python is no bottleneck.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.errors import BenchmarkError

PIECE_BYTES = 256 * 1024
MESSAGE = bytes(100)
_TIMEOUT_S = 60.0


class Backend:
    """Where it listens, and how many connections have come."""

    def __init__(self, listening: socket.socket) -> None:
        self.port: int = listening.getsockname()[1]
        self.accepted = 0


@contextmanager
def serving() -> Iterator[Backend]:
    """A backend: a client's first 8 bytes say how much it wants; 0 is for an echo."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        backend = Backend(listening)
        thread = threading.Thread(target=_accept, args=(listening, backend), daemon=True)
        thread.start()
        yield backend
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def _accept(listening: socket.socket, backend: Backend) -> None:
    while True:
        try:
            sock, _ = listening.accept()
        except OSError:
            return
        backend.accepted += 1
        threading.Thread(target=_serve, args=(sock,), daemon=True).start()


def _serve(sock: socket.socket) -> None:
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            size = int.from_bytes(sock.recv(8, socket.MSG_WAITALL), "big")
            if size:
                _pour(sock, size)
            else:
                _echo(sock)
        except OSError:
            return  # its client says what is missing


def _pour(sock: socket.socket, size: int) -> None:
    piece = memoryview(bytes(PIECE_BYTES))
    while size:
        size -= sock.send(piece[:size])


def _echo(sock: socket.socket) -> None:
    while data := sock.recv(65_536):
        sock.sendall(data)


def connect(port: int, size: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(size.to_bytes(8, "big"))
    return sock


def download(port: int, connections: int, total: int) -> None:
    """Fetch `total` bytes over so many connections at once."""
    received: list[int] = []
    threads = [threading.Thread(target=_fetch, args=(port, total // connections, received)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if sum(received) != total // connections * connections:
        raise BenchmarkError(f"{sum(received)} of {total} bytes arrived")


def _fetch(port: int, size: int, received: list[int]) -> None:
    buffer = bytearray(PIECE_BYTES)
    with connect(port, size) as sock:
        count = 0
        while got := sock.recv_into(buffer):
            count += got
    received.append(count)


def play_echo(port: int, connections: int, duration_s: float) -> int:
    """One message at a time on each connection, until the time is over; returns the round trips."""
    socks = {sock.fileno(): sock for sock in (connect(port, 0) for _ in range(connections))}
    poll = select.epoll()
    for fd, sock in socks.items():
        poll.register(fd, select.EPOLLIN)
        sock.sendall(MESSAGE)
    count = 0
    deadline_s = time.monotonic() + duration_s
    while time.monotonic() < deadline_s:
        for fd, _events in poll.poll(_TIMEOUT_S):
            if len(socks[fd].recv(1000)) != len(MESSAGE):
                raise BenchmarkError("a message came back in pieces")
            socks[fd].send(MESSAGE)
            count += 1
    poll.close()
    for sock in socks.values():
        sock.close()
    return count
