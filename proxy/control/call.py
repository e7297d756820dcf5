"""One gRPC call over an HTTP/2 connection of its own, sans-I/O: the ADS stream (gRPC's PROTOCOL-HTTP2).

Whatever ends the call or the connection ends both, with `failure` in words for a person; nothing here ever raises.
Invariant: memory is bounded by one message that is under way and `_QUEUE_BYTES` of whole ones: beyond these, bytes are
credited to the server only as messages are taken.
"""

from __future__ import annotations

from collections import deque
from urllib.parse import unquote

from mesh.version import VERSION
from proxy.codec.client import Client
from proxy.codec.constants import CANCEL, ENHANCE_YOUR_CALM, NO_ERROR
from proxy.codec.fields import encode_field
from proxy.codec.headers import HeaderBlock
from proxy.codec.limits import Limits
from proxy.codec.stream import Stream
from proxy.control.framing import Deframer, FramingError, encode_message

PATH = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_LIMITS = Limits(stream_window_bytes=1024 * 1024)
_QUEUE_BYTES = 1024 * 1024
_MAX_REASON_CHARS = 300


class Call(Client):
    """`messages` are those that came whole; `take_message` makes room for more. `calm`: we sent too many PINGs."""

    def __init__(self, authority: str, tls: bool) -> None:
        super().__init__(_LIMITS, [])
        self.block = encode_call(authority, tls)
        self.stream: Stream | None = None
        self.failure = ""
        self.calm = False
        self.leaving = False
        self.messages: deque[bytes] = deque()
        self._queued_bytes = 0
        self._owed_bytes = 0
        self._deframer = Deframer()

    # ---- the caller's side

    def is_writable(self) -> bool:
        """Whether what was said has gone out: while the server does not read, nothing is added."""
        stream = self.stream
        return stream is not None and not self.closed and stream.queue is None and not self.blocked

    def send_message(self, message: bytes) -> None:
        assert self.stream is not None
        self.send_data(self.stream, encode_message(message), False)

    def take_message(self) -> bytes:
        message = self.messages.popleft()
        self._queued_bytes -= len(message)
        if self._owed_bytes and self._queued_bytes <= _QUEUE_BYTES and self.stream is not None:
            self.credit(self.stream, self._owed_bytes)
            self._owed_bytes = 0
        return message

    def end(self, reason: str) -> None:
        """The first reason counts; the connection closes after what is queued has gone out."""
        if not self.failure:
            self.failure = clean(reason)
        if self.stream is not None and not self.closed:
            self.reset(self.stream, CANCEL)
        self.close()

    # ---- events

    def settings_changed(self) -> None:
        if self.stream is None and not self.closed:
            self.stream = self.open(self.now)
            self.send_headers(self.stream, self.block, False)

    def response_received(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        if block.informational:
            return
        if block.status != 200:
            self.end(f"it answered with HTTP status {block.status}")
        elif not block.grpc:
            self.end("it does not speak gRPC")
        elif end:
            self.end(describe_status(block))

    def data_received(self, stream: Stream, payload: bytes, end: bool) -> None:
        try:
            for message in self._deframer.feed(payload):
                self.messages.append(message)
                self._queued_bytes += len(message)
        except FramingError as error:
            self.end(str(error))
            return
        self._owed_bytes += len(payload)
        if self._queued_bytes <= _QUEUE_BYTES:
            self.credit(stream, self._owed_bytes)
            self._owed_bytes = 0
        if end:
            self.end("it ended the stream without a status")

    def trailers_received(self, stream: Stream, block: HeaderBlock) -> None:
        self.end(describe_status(block))

    def reset_received(self, stream: Stream, code: int) -> None:
        self.end(f"it reset the stream (HTTP/2 error {code})")

    def stream_failed(self, stream: Stream, code: int, reason: str) -> None:
        self.end(f"it broke HTTP/2: {reason}")

    def goaway_received(self, last_stream_id: int, code: int) -> None:
        """It wants us elsewhere: go now, with all that is here."""
        self.calm = code == ENHANCE_YOUR_CALM
        self.leaving = code == NO_ERROR
        self.end("it asked for a new connection" if self.leaving else f"it sent GOAWAY (HTTP/2 error {code})")

    def ping_acked(self, opaque: bytes) -> None:
        """Any byte that comes shows that the server lives; whoever reads the socket notes that."""

    def stream_closed(self, stream: Stream) -> None:
        """What closed it has ended the call."""

    def lost(self, reason: str, now: float) -> None:
        self.end(f"it broke HTTP/2: {self.fault}" if self.fault else reason)


def encode_call(authority: str, tls: bool) -> bytes:
    """The request's header block."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"https" if tls else b"http"),
        (b":path", PATH),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", f"gossamer/{VERSION}".encode()),
        (b"grpc-accept-encoding", b"identity"),
    )
    return b"".join(encode_field(name, value) for name, value in fields)


def describe_status(block: HeaderBlock) -> str:
    """The gRPC status in a trailers-only response or in trailers."""
    if block.grpc_status < 0:
        return "it ended the stream without a status"
    messages = [field.value for field in block.fields if field.name == b"grpc-message"]
    detail = unquote(messages[0].decode("latin-1")) if messages else ""
    return f"it ended the stream with gRPC status {block.grpc_status}" + (f": {detail}" if detail else "")


def clean(text: str) -> str:
    """One line of bounded length, whatever the server put into it."""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_REASON_CHARS])
