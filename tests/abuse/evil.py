"""A malicious endpoint: accepts what the proxy dials, and does to each connection what its deed says.

Its frames are of HTTP/2; a deed of another protocol has the socket.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Self

from tests.e2e.wire import HEADERS, PREFACE, SETTINGS, Frame, encode_frame, encode_settings


class Victim:
    """One connection from the proxy, as its endpoint sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.frames: list[Frame] = []

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def open(self, settings: dict[int, int] | None = None) -> None:
        """The server's preface; the proxy gives requests to nobody who has not said it."""
        self.say(encode_settings(settings or {}) + encode_frame(SETTINGS, 1))

    def hear(self) -> Iterator[Frame]:
        """Frames as they come, to the end of the connection."""
        buffer = bytearray()
        preface = len(PREFACE)
        while data := self.socket.recv(1 << 18):
            buffer += data
            if preface:
                if len(buffer) < preface:
                    continue
                del buffer[:preface]
                preface = 0
            while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3], "big")):
                frame = Frame(buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big"), bytes(buffer[9:end]))
                del buffer[:end]
                self.frames.append(frame)
                yield frame

    def hear_requests(self) -> Iterator[int]:
        """The stream ids of requests as they come."""
        return (frame.stream for frame in self.hear() if frame.kind == HEADERS)


Deed = Callable[[Victim], None]


class Evil:
    """Listens from the start; `dialled` counts the connections, `victims` has them."""

    def __init__(self, deed: Deed, listener: socket.socket | None = None) -> None:
        self.deed = deed
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=256)
        self.listener.settimeout(None)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.victims: list[Victim] = []
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    @property
    def dialled(self) -> int:
        return len(self.victims)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.victims.append(Victim(sock))
            thread = threading.Thread(target=self._serve, args=(self.victims[-1],))
            self.threads.append(thread)
            thread.start()

    def _serve(self, victim: Victim) -> None:
        try:
            with victim.socket:
                self.deed(victim)
                for _ in victim.hear():
                    pass
        except OSError:
            pass  # the proxy has had enough, which is what the test is about

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.threads[0].join()
        for victim in self.victims:
            try:
                victim.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
