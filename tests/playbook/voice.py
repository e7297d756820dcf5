"""A peer of the proxy: says frames with the `hyperframe` and `hpack` libraries, and hears what the proxy says.

Hearing is checking: the model of the windows that this peer has granted fails the test on DATA that exceeds them, on a
WINDOW_UPDATE of 0, on frames for streams that are over, and on a GOAWAY that takes back what an earlier one refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Headers = list[tuple[str, str]]

GRPC_REQUEST: Headers = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/echo.Echo/Get"),
    (":authority", "echo"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
GET_REQUEST: Headers = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "echo")]
GRPC_RESPONSE: Headers = [(":status", "200"), ("content-type", "application/grpc")]
GRPC_OK: Headers = [("grpc-status", "0"), ("grpc-message", "")]
OK: Headers = [(":status", "200")]


@dataclass
class Heard:
    """One frame, or one header block with its CONTINUATIONs."""

    kind: str
    stream_id: int
    end: bool = False
    headers: Headers = field(default_factory=list)
    data: bytes = b""
    code: int = -1
    number: int = -1  # last stream id of GOAWAY, increment of WINDOW_UPDATE

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


class Voice:
    """`say` gives bytes for the proxy, `hear` takes its bytes; `heard` holds all that came."""

    def __init__(self, is_client: bool) -> None:
        self.is_client = is_client
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 2**24
        self.heard: list[Heard] = []
        self.raw = b""
        self.block: tuple[int, bool, bytes] | None = None
        self.next_id = 1
        self.preface_left = b"" if is_client else PREFACE
        # What we have granted to the proxy.
        self.conn_window = 65_535
        self.initial_window = 65_535
        self.granted: dict[int, int] = {}
        self.settings_unacked: list[dict[int, int]] = []
        # What the proxy has granted to us.
        self.own_conn_window = 65_535
        self.own_initial_window = 65_535
        self.own_granted: dict[int, int] = {}
        self.ended: set[int] = set()
        self.goaway_last: int | None = None

    # ---- saying

    def opening(self, settings: dict[int, int] | None = None) -> bytes:
        return (PREFACE if self.is_client else b"") + self.settings(settings or {})

    def settings(self, values: dict[int, int]) -> bytes:
        self.settings_unacked.append(dict(values))
        return SettingsFrame(0, settings=values).serialize()

    def settings_ack(self) -> bytes:
        return SettingsFrame(0, flags=["ACK"]).serialize()

    def headers(
        self, stream_id: int, pairs: Headers, end: bool = False, step: int = 16_384, pad: int = 0, indexed: bool = True
    ) -> bytes:
        """A header block, in pieces of `step` bytes. Without `indexed` every field is a literal that is not kept."""
        sensitive = not indexed
        block = self.encoder.encode([(name, value, sensitive) for name, value in pairs])
        first = HeadersFrame(stream_id, block[:step], flags=["END_STREAM"] if end else [])
        if pad:
            first.flags.add("PADDED")
            first.pad_length = pad
        frames: list[Frame] = [first]
        for at in range(step, len(block), step):
            frames.append(ContinuationFrame(stream_id, block[at : at + step]))
        frames[-1].flags.add("END_HEADERS")
        return b"".join(frame.serialize() for frame in frames)

    def data(self, stream_id: int, payload: bytes, end: bool = False, pad: int = -1) -> bytes:
        frame = DataFrame(stream_id, payload, flags=["END_STREAM"] if end else [])
        if pad >= 0:
            frame.flags.add("PADDED")
            frame.pad_length = pad
        size = len(payload) + (pad + 1 if pad >= 0 else 0)
        self.own_conn_window -= size
        self.own_granted[stream_id] = self.own_window(stream_id) - size
        return frame.serialize()

    def own_window(self, stream_id: int) -> int:
        return self.own_granted.get(stream_id, self.own_initial_window)

    def rst(self, stream_id: int, code: int = 8) -> bytes:
        self.ended.add(stream_id)
        return RstStreamFrame(stream_id, error_code=code).serialize()

    def goaway(self, last_stream_id: int, code: int = 0) -> bytes:
        return GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code).serialize()

    def ping(self, opaque: bytes = b"12345678", ack: bool = False) -> bytes:
        return PingFrame(0, opaque_data=opaque, flags=["ACK"] if ack else []).serialize()

    def window(self, stream_id: int, increment: int) -> bytes:
        if stream_id == 0:
            self.conn_window += increment
        else:
            self.granted[stream_id] = self.granted.get(stream_id, self.initial_window) + increment
        return WindowUpdateFrame(stream_id, window_increment=increment).serialize()

    # ---- hearing

    def hear(self, data: bytes) -> list[Heard]:
        self.raw += data
        new: list[Heard] = []
        if self.preface_left:
            if len(self.raw) < len(self.preface_left):
                return new
            assert self.raw.startswith(self.preface_left)
            self.raw = self.raw[len(self.preface_left) :]
            self.preface_left = b""
        while len(self.raw) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self.raw[:9]))
            if len(self.raw) < 9 + length:
                break
            assert length <= 16_384, "above the default SETTINGS_MAX_FRAME_SIZE"
            frame.parse_body(memoryview(self.raw[9 : 9 + length]))
            self.raw = self.raw[9 + length :]
            found = self._understand(frame, length)
            if found is not None:
                new.append(found)
        self.heard += new
        return new

    def _understand(self, frame: Frame, length: int) -> Heard | None:
        stream_id = frame.stream_id
        if self.block is not None:
            assert isinstance(frame, ContinuationFrame), "header block interrupted"
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            return self._block(frame)
        if isinstance(frame, DataFrame):
            return self._data(frame, length)
        if isinstance(frame, RstStreamFrame):
            self.ended.add(stream_id)
            return Heard("RST_STREAM", stream_id, code=frame.error_code)
        if isinstance(frame, WindowUpdateFrame):
            return self._window_update(frame)
        if isinstance(frame, SettingsFrame):
            return self._settings(frame)
        if isinstance(frame, PingFrame):
            return Heard("PING_ACK" if "ACK" in frame.flags else "PING", 0, data=bytes(frame.opaque_data))
        assert isinstance(frame, GoAwayFrame), f"unexpected {frame}"
        assert self.goaway_last is None or frame.last_stream_id <= self.goaway_last, "GOAWAY took a refusal back"
        self.goaway_last = frame.last_stream_id
        return Heard("GOAWAY", 0, code=frame.error_code, number=frame.last_stream_id, data=bytes(frame.additional_data))

    def _block(self, frame: HeadersFrame | ContinuationFrame) -> Heard | None:
        if isinstance(frame, HeadersFrame):
            assert frame.stream_id not in self.ended, f"HEADERS on stream {frame.stream_id}, which is over"
            end, block = "END_STREAM" in frame.flags, bytes(frame.data)
        else:
            assert self.block is not None
            assert frame.stream_id == self.block[0]
            end, block = self.block[1], self.block[2] + bytes(frame.data)
        if "END_HEADERS" not in frame.flags:
            self.block = frame.stream_id, end, block
            return None
        self.block = None
        if end:
            self.ended.add(frame.stream_id)
        pairs = [(str(name), str(value)) for name, value in self.decoder.decode(block)]
        return Heard("HEADERS", frame.stream_id, end, headers=pairs)

    def _data(self, frame: DataFrame, length: int) -> Heard:
        stream_id = frame.stream_id
        assert stream_id not in self.ended, f"DATA on stream {stream_id}, which is over"
        left = self.granted.get(stream_id, self.initial_window)
        if length:
            assert length <= left, f"DATA of {length} on stream {stream_id} above its window of {left}"
            assert length <= self.conn_window, f"DATA of {length} above the connection's window of {self.conn_window}"
        self.granted[stream_id] = left - length
        self.conn_window -= length
        if "END_STREAM" in frame.flags:
            self.ended.add(stream_id)
        return Heard("DATA", stream_id, "END_STREAM" in frame.flags, data=bytes(frame.data))

    def _window_update(self, frame: WindowUpdateFrame) -> Heard:
        stream_id, increment = frame.stream_id, frame.window_increment
        assert increment > 0, f"WINDOW_UPDATE of 0 on stream {stream_id}"
        if stream_id == 0:
            self.own_conn_window += increment
        else:
            self.own_granted[stream_id] = self.own_window(stream_id) + increment
        return Heard("WINDOW_UPDATE", stream_id, number=increment)

    def _settings(self, frame: SettingsFrame) -> Heard:
        if "ACK" in frame.flags:
            # A script may send SETTINGS past us, as raw bytes without a window in them.
            values = self.settings_unacked.pop(0) if self.settings_unacked else {}
            size = values.get(SettingsFrame.INITIAL_WINDOW_SIZE)
            if size is not None:
                for stream_id in self.granted:
                    self.granted[stream_id] += size - self.initial_window
                self.initial_window = size
            return Heard("SETTINGS_ACK", 0)
        size = frame.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE)
        if size is not None:
            for stream_id in self.own_granted:
                self.own_granted[stream_id] += size - self.own_initial_window
            self.own_initial_window = size
        return Heard("SETTINGS", 0)
