"""A lean HTTP/2 peer over blocking sockets, for what no well-behaved library does: stall, count PINGs, break rules.

Independent of the code under test: frames by hand, header blocks by the hpack library, nothing automatic but the
answers to SETTINGS and PING. `Client` speaks to the proxy, `Server` is a backend whose path says what it shall do.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from hpack import Decoder, Encoder

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
NO_ERROR, REFUSED_STREAM, CANCEL = 0, 7, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_WINDOW, DEFAULT_WINDOW, FRAME_BYTES = 2**31 - 1, 65535, 16384
# A socket that neither takes nor gives a byte for so long is a hang.
HANG_S = 45.0
Header = tuple[str, str]


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def encode_frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def encode_settings(settings: dict[int, int]) -> bytes:
    return encode_frame(SETTINGS, payload=b"".join(struct.pack(">HI", *item) for item in settings.items()))


class Peer:
    """One side of a connection: frames out, frames in; remembers the PINGs and the GOAWAYs that it got."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.socket.settimeout(HANG_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.peer_window = DEFAULT_WINDOW
        self.pings: list[bytes] = []
        self.goaways: list[tuple[int, int, bytes]] = []
        self._buffer, self._frames = bytearray(), deque[Frame]()
        self._readable = select.poll()
        self._readable.register(self.socket, select.POLLIN)

    def send(self, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        self.socket.sendall(encode_frame(kind, flags, stream, payload))

    def send_headers(self, stream: int, headers: Sequence[Header], end: bool = False) -> None:
        """HEADERS, and as many CONTINUATIONs as they need."""
        block = self.encoder.encode(list(headers))
        parts = [block[at : at + FRAME_BYTES] for at in range(0, len(block), FRAME_BYTES)]
        for number, part in enumerate(parts):
            flags = END_HEADERS * (number == len(parts) - 1) | (END_STREAM * end if number == 0 else 0)
            self.send(CONTINUATION if number else HEADERS, flags, stream, part)

    def credit(self, stream: int, count: int) -> None:
        """WINDOW_UPDATE; stream 0 is the connection."""
        self.send(WINDOW_UPDATE, 0, stream, struct.pack(">I", count))

    def decode(self, frame: Frame) -> dict[str, str]:
        """The fields of an unpadded HEADERS frame that needs no CONTINUATION."""
        return {str(name): str(value) for name, value in self.decoder.decode(frame.payload)}

    def receive(self, wait_s: float = HANG_S) -> Frame | None:
        """The next frame but SETTINGS and PING, which are answered; None at the end, or if none came in that time."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if not self._answered(frame):
                    return frame
            if not self._fill(wait_s):
                return None

    def _answered(self, frame: Frame) -> bool:
        if frame.kind == SETTINGS:
            for name, value in struct.iter_unpack(">HI", frame.payload):
                if name == INITIAL_WINDOW_SIZE:
                    self._set_peer_window(value)
            if not frame.flags & ACK:
                self.send(SETTINGS, ACK)
        elif frame.kind == PING and not frame.flags & ACK:
            self.pings.append(frame.payload)
            self.send(PING, ACK, 0, frame.payload)
        elif frame.kind == GOAWAY:
            self.goaways.append((*struct.unpack_from(">II", frame.payload), frame.payload[8:]))
            return False
        return frame.kind in (SETTINGS, PING)

    def _set_peer_window(self, value: int) -> None:
        self.peer_window = value

    def _fill(self, wait_s: float) -> bool:
        if wait_s < HANG_S and not self._readable.poll(wait_s * 1000):
            return False
        try:
            read = self.socket.recv(1 << 18)
        except ConnectionError:
            read = b""
        self._buffer += read
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 9:
            end = at + 9 + int.from_bytes(buffer[at : at + 3], "big")
            if end > len(buffer):
                break
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            self._frames.append(Frame(buffer[at + 3], buffer[at + 4], stream, bytes(buffer[at + 9 : end])))
            at = end
        del buffer[:at]
        return bool(read)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Client(Peer):
    """A client's connection; `window` is what it grants to each stream, `connection_window` to them all."""

    def __init__(self, address: str, window: int = DEFAULT_WINDOW, connection_window: int = DEFAULT_WINDOW) -> None:
        host, port = address.rsplit(":", 1)
        super().__init__(socket.create_connection((host, int(port)), timeout=HANG_S))
        self.authority, self.next_stream = address, 1
        self.socket.sendall(PREFACE + encode_settings({ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: window}))
        if connection_window > DEFAULT_WINDOW:
            self.credit(0, connection_window - DEFAULT_WINDOW)

    def request(self, path: str, end: bool = True, fields: Sequence[Header] = ()) -> int:
        """Open a stream like a gRPC client; its id."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        pseudo = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", self.authority)]
        always = [("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "wire")]
        self.send_headers(stream, [*pseudo, *always, *fields], end)
        return stream

    def frames(self) -> Iterator[Frame]:
        """Frames as they come, until the connection ends."""
        while (frame := self.receive()) is not None:
            yield frame

    def exchange(self, path: str) -> tuple[dict[str, str], bytes, dict[str, str]]:
        """One request and its whole answer: headers, body, trailers."""
        stream = self.request(path)
        blocks: list[dict[str, str]] = []
        body = b""
        for frame in self.frames():
            if frame.kind == HEADERS:
                blocks.append(self.decode(frame))
            elif frame.kind == DATA:
                body += frame.payload
                if frame.payload:
                    self.credit(0, len(frame.payload))
                    self.credit(stream, len(frame.payload))
            elif frame.kind in (RST_STREAM, GOAWAY):
                raise AssertionError(f"{path}: {frame}")
            if frame.kind in (DATA, HEADERS) and frame.flags & END_STREAM:
                return blocks[0], body, blocks[-1]
        raise AssertionError(f"{path}: the connection ended")


class Pace:
    """How a slow reader reads: nothing for a while, then 64 KiB each 10 ms, then as fast as it can."""

    def __init__(self, stall_s: float = 3.0, slow_bytes: int = 12 << 20) -> None:
        self._stall_s, self._slow_until, self._taken, self._slept = stall_s, slow_bytes, 0, 0

    def take(self, count: int) -> None:
        """Before `count` bytes are credited or more are read."""
        if not self._taken:
            time.sleep(self._stall_s)
        self._taken += count
        while self._slept < min(self._taken, self._slow_until):
            time.sleep(0.01)
            self._slept += 65536


class Stream:
    """A stream of the server: what it still has to send, and what it got."""

    __slots__ = ("ended", "gated", "pace", "path", "received", "to_send", "window")

    def __init__(self, path: str, window: int) -> None:
        self.path, self.window = path, window
        self.to_send, self.received, self.gated, self.ended = 0, 0, False, False
        self.pace = Pace() if path == "/slow-sink" else None


class Served(Peer):
    """One connection of the server, in a thread of its own."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        super().__init__(sock)
        self.server, self.streams, self.resets = server, dict[int, Stream](), list[int]()
        self.connection_window, self.opened, self.refused = DEFAULT_WINDOW, 0, 0

    def run(self) -> None:
        try:
            with self.socket:
                self._serve()
        except OSError:
            pass  # the proxy, or the test, closed the connection

    def _serve(self) -> None:
        preface = b""
        while len(preface) < len(PREFACE):
            preface += (part := self.socket.recv(len(PREFACE) - len(preface)))
            if not part:
                return
        assert preface == PREFACE
        self.socket.sendall(encode_settings(self.server.settings))
        if INITIAL_WINDOW_SIZE in self.server.settings:
            self.credit(0, MAX_WINDOW - DEFAULT_WINDOW)
        while True:
            wait_s = self._pump()
            frame = self.receive(wait_s)
            if frame is not None:
                self._handle(frame)
            elif wait_s == HANG_S:
                return

    def _handle(self, frame: Frame) -> None:
        stream = self.streams.get(frame.stream)
        if frame.kind == HEADERS and stream is None:
            self._open(frame)
        elif frame.kind == DATA and stream is not None:
            self._take(frame, stream)
        elif frame.kind == WINDOW_UPDATE:
            count = int.from_bytes(frame.payload, "big")
            if frame.stream == 0:
                self.connection_window += count
            elif stream is not None:
                stream.window += count
        elif frame.kind == RST_STREAM:
            self.resets.append(int.from_bytes(frame.payload, "big"))
            self.streams.pop(frame.stream, None)
        if stream is not None and frame.kind in (DATA, HEADERS) and frame.flags & END_STREAM:
            self._ended(frame.stream, stream)

    def _set_peer_window(self, value: int) -> None:
        for stream in self.streams.values():
            stream.window += value - self.peer_window
        self.peer_window = value

    def _open(self, frame: Frame) -> None:
        headers = self.decoder.decode(frame.payload)
        path = next(str(value) for name, value in headers if str(name) == ":path")
        if len(self.streams) >= self.server.settings.get(MAX_CONCURRENT_STREAMS, MAX_WINDOW):
            self.refused += 1
            self.send(RST_STREAM, 0, frame.stream, struct.pack(">I", REFUSED_STREAM))
            return
        self.opened += 1
        stream = self.streams[frame.stream] = Stream(path, self.peer_window)
        self.send_headers(frame.stream, [(":status", "200"), ("content-type", "application/grpc")])
        if path.startswith("/bytes/"):
            stream.to_send = int(path.removeprefix("/bytes/"))
        elif path.startswith("/headers"):
            self.send(DATA, 0, frame.stream, json.dumps([[str(n), str(v)] for n, v in headers]).encode())
        elif path == "/gate":
            stream.gated = True
        if frame.flags & END_STREAM:
            self._ended(frame.stream, stream)

    def _ended(self, number: int, stream: Stream) -> None:
        """The client's side has ended: what else to send depends on the path."""
        stream.ended = True
        if stream.path in ("/sink", "/slow-sink"):
            self.send(DATA, 0, number, str(stream.received).encode())
        if stream.path in ("/sink", "/slow-sink") or stream.path.startswith("/headers"):
            self._finish(number)

    def _finish(self, number: int) -> None:
        self.send_headers(number, [("grpc-status", "0")], end=True)
        del self.streams[number]

    def _take(self, frame: Frame, stream: Stream) -> None:
        stream.received += len(frame.payload)
        if stream.pace is not None:
            stream.pace.take(len(frame.payload))
        if frame.payload and INITIAL_WINDOW_SIZE not in self.server.settings:
            self.credit(0, len(frame.payload))
            self.credit(frame.stream, len(frame.payload))

    def _pump(self) -> float:
        """Send what windows allow, one burst a stream; for how long nothing more can be sent but after a frame."""
        wait_s = HANG_S
        for number, stream in list(self.streams.items()):
            if stream.gated:
                wait_s = min(wait_s, 0.005)
                if self.server.gate.is_set() and stream.ended:
                    self._finish(number)
            elif stream.to_send and (room := min(stream.to_send, stream.window, self.connection_window)) > 0:
                self._send_burst(number, stream, min(room, 16 * FRAME_BYTES))
                wait_s = 0
        return wait_s

    def _send_burst(self, number: int, stream: Stream, room: int) -> None:
        parts = []
        for at in range(0, room, FRAME_BYTES):
            parts.append(encode_frame(DATA, 0, number, ZEROS[: min(FRAME_BYTES, room - at)]))
        self.socket.sendall(b"".join(parts))
        stream.to_send -= room
        stream.window -= room
        self.connection_window -= room
        if not stream.to_send:
            self._finish(number)


ZEROS = bytes(FRAME_BYTES)


class Server:
    """A backend, whose paths say what it does; one that is `silent` accepts connections and never says a word.

    /bytes/N sends N bytes; /sink counts what it gets, /slow-sink at a slow Pace; /headers tells what came; /hold never
    ends; /gate ends once `gate` is set.
    """

    def __init__(self, settings: dict[int, int] | None = None, silent: bool = False) -> None:
        self.settings, self.silent = settings or {}, silent
        self.gate = threading.Event()
        self.connections: list[Served] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            served = Served(self, sock)
            self.connections.append(served)
            if not self.silent:
                thread = threading.Thread(target=served.run)
                self._threads.append(thread)
                thread.start()

    @property
    def open_streams(self) -> int:
        return sum(len(served.streams) for served in self.connections)

    @property
    def opened(self) -> int:
        """How many requests have come so far."""
        return sum(served.opened for served in self.connections)

    @property
    def pings(self) -> list[bytes]:
        return [ping for served in self.connections for ping in served.pings]

    @property
    def resets(self) -> list[int]:
        return [code for served in self.connections for code in served.resets]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for served in self.connections:
            try:
                served.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join()
        for served in self.connections:
            served.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
