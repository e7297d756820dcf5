"""A probe by `grpc`: one unary call of grpc.health.v1.Health/Check over the project's own HTTP/2, without TLS.

The two messages have one field each, so they are written and read by hand, and the sidecar needs no protobuf for them.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from urllib.parse import unquote

from proxy.codec.client import Client
from proxy.codec.fields import encode_field
from proxy.codec.headers import HeaderBlock
from proxy.codec.limits import Limits
from proxy.codec.stream import Stream
from proxy.net.probe.model import Verdict
from proxy.route.model import join_host_port

_PATH = b"/grpc.health.v1.Health/Check"
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_UNIMPLEMENTED = 12
_MAX_ANSWER_BYTES = 1024
_READ_BYTES = 65_536


class HealthCheck(Client):
    """One connection, one call; `verdict` is there when it has ended."""

    def __init__(self, authority: str, service: str, agent: str) -> None:
        super().__init__(Limits(), [])
        self.block = encode_call(authority, agent)
        self.request = encode_request(service)
        self.answer = b""
        self.verdict: Verdict | None = None
        self.asked = False

    def fails(self, text: str) -> None:
        if self.verdict is None:
            self.verdict = Verdict(False, text)

    def settings_changed(self) -> None:
        if not self.asked and not self.closed:
            self.asked = True
            stream = self.open(self.now)
            self.send_headers(stream, self.block, False)
            self.send_data(stream, self.request, True)

    def response_received(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        if block.informational:
            return
        if block.status != 200:
            self.fails(f"HTTP status {block.status}")
        elif end:
            self._judge(block)

    def data_received(self, stream: Stream, payload: bytes, end: bool) -> None:
        self.answer += payload
        if len(self.answer) > _MAX_ANSWER_BYTES:
            self.fails("its answer is too large")
        elif end:
            self.fails("it ended the call without a status")

    def trailers_received(self, stream: Stream, block: HeaderBlock) -> None:
        self._judge(block)

    def _judge(self, block: HeaderBlock) -> None:
        if block.grpc_status == 0:
            status = decode_status(self.answer)
            name = _STATUSES[status] if 0 <= status < len(_STATUSES) else str(status)
            self.verdict = Verdict(name == "SERVING", name)
        elif block.grpc_status == _UNIMPLEMENTED:
            self.fails("it does not implement grpc.health.v1.Health")
        else:
            messages = [field.value for field in block.fields if field.name == b"grpc-message"]
            detail = f": {unquote(messages[0].decode('latin-1'))}" if messages else ""
            self.fails(f"gRPC status {block.grpc_status}{detail}")

    def reset_received(self, stream: Stream, code: int) -> None:
        self.fails(f"it reset the call (HTTP/2 error {code})")

    def stream_failed(self, stream: Stream, code: int, reason: str) -> None:
        self.fails(f"it broke HTTP/2: {reason}")

    def goaway_received(self, last_stream_id: int, code: int) -> None:
        if not self.asked or last_stream_id < 1:
            self.fails(f"it sent GOAWAY (HTTP/2 error {code})")

    def ping_acked(self, opaque: bytes) -> None:
        """We send none."""

    def stream_closed(self, stream: Stream) -> None:
        """What closed it has given the verdict."""

    def lost(self, reason: str, now: float) -> None:
        self.fails(f"it broke HTTP/2: {self.fault}" if self.fault else reason)


async def check_health(host: str, port: int, service: str, agent: str) -> Verdict:
    call = HealthCheck(join_host_port(host, port), service, agent)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        call.start()
        tail = b""
        while call.verdict is None:
            flush(call, writer)
            data = await reader.read(_READ_BYTES)
            buffer = bytearray(tail + data)
            tail = bytes(buffer[call.feed(buffer, 0, len(buffer), monotonic()) :])
            if not data or call.closed:
                call.lost("it closed the connection", monotonic())
        call.close()
        flush(call, writer)
        return call.verdict
    finally:
        writer.transport.abort()


def flush(call: HealthCheck, writer: asyncio.StreamWriter) -> None:
    while call.out:
        writer.write(call.take())
        if call.waiting:
            call.pump()
    call.dirty = False
    call.flushes.clear()


def encode_call(authority: str, agent: str) -> bytes:
    """The request's header block."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", _PATH),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", agent.encode()),
    )
    return b"".join(encode_field(name, value) for name, value in fields)


def encode_request(service: str) -> bytes:
    """HealthCheckRequest{1: service}, in gRPC's framing."""
    name = service.encode()
    message = b"\x0a" + encode_varint(len(name)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def decode_status(answer: bytes) -> int:
    """HealthCheckResponse{1: status} in gRPC's framing; -1 where it is not one. A message without it says 0."""
    size = int.from_bytes(answer[1:5], "big")
    if len(answer) != 5 + size or answer[0] != 0:
        return -1
    if size == 0:
        return 0
    return answer[6] if size == 2 and answer[5] == 8 and answer[6] < 128 else -1
