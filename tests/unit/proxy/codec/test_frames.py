from __future__ import annotations

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from proxy.codec import frames


def parse(data: bytes) -> list[Frame]:
    """The frames as the hyperframe library reads them."""
    found = []
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]), strict=True)
        frame.parse_body(memoryview(data[9 : 9 + length]))
        found.append(frame)
        data = data[9 + length :]
    return found


@pytest.mark.parametrize("stream_id", [1, 2, 255, 65_536, 2**31 - 1])
def test_ids(stream_id: int) -> None:
    (reset,) = parse(frames.encode_rst_stream(stream_id, 2**32 - 1))
    assert isinstance(reset, RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (stream_id, 2**32 - 1)
    (update,) = parse(frames.encode_window_update(stream_id, 2**31 - 1))
    assert isinstance(update, WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (stream_id, 2**31 - 1)


@pytest.mark.parametrize("values", [{}, {1: 0, 3: 100, 4: 2**31 - 1, 0xFFFF: 2**32 - 1}])
def test_settings(values: dict[int, int]) -> None:
    (found,) = parse(frames.encode_settings(values))
    assert isinstance(found, SettingsFrame)
    assert found.settings == values
    assert not found.flags


def test_settings_ack() -> None:
    (found,) = parse(frames.SETTINGS_ACK)
    assert isinstance(found, SettingsFrame)
    assert found.flags == {"ACK"}


@pytest.mark.parametrize("ack", [False, True])
def test_ping(ack: bool) -> None:
    (found,) = parse(frames.encode_ping(b"12345678", ack))
    assert isinstance(found, PingFrame)
    assert found.opaque_data == b"12345678"
    assert ("ACK" in found.flags) == ack


def test_goaway() -> None:
    (found,) = parse(frames.encode_goaway(2**31 - 1, 11, b"why"))
    assert isinstance(found, GoAwayFrame)
    assert (found.last_stream_id, found.error_code, found.additional_data) == (2**31 - 1, 11, b"why")


@pytest.mark.parametrize("size", [0, 1, 16_384])
@pytest.mark.parametrize("end", [False, True])
def test_a_block_of_one_frame(size: int, end: bool) -> None:
    (found,) = parse(frames.encode_headers(5, b"b" * size, end))
    assert isinstance(found, HeadersFrame)
    assert found.data == b"b" * size
    assert set(found.flags) == ({"END_HEADERS", "END_STREAM"} if end else {"END_HEADERS"})


@pytest.mark.parametrize("size", [16_385, 32_768, 32_769, 61_440])
@pytest.mark.parametrize("end", [False, True])
def test_a_large_block_is_continued(size: int, end: bool) -> None:
    block = bytes(at % 251 for at in range(size))
    first, *rest = parse(frames.encode_headers(5, block, end))
    assert isinstance(first, HeadersFrame)
    assert set(first.flags) == ({"END_STREAM"} if end else set())
    assert all(isinstance(frame, ContinuationFrame) and frame.stream_id == 5 for frame in rest)
    assert [set(frame.flags) for frame in rest] == [set()] * (len(rest) - 1) + [{"END_HEADERS"}]
    assert b"".join(frame.data for frame in [first, *rest]) == block  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("length", "kind", "flags", "stream_id"), [(0, 0, 0, 0), (16_384, 1, 5, 65_537), (2**24 - 1, 255, 255, 2**31 - 1)]
)
def test_head(length: int, kind: int, flags: int, stream_id: int) -> None:
    expected = length.to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big")
    assert frames.encode_head(length, kind, flags, stream_id) == expected


def test_a_head_is_not_changed_by_the_next_one() -> None:
    first = frames.encode_head(1, 2, 3, 4)
    frames.encode_head(5, 6, 7, 8)
    assert first == b"\0\0\1\2\3\0\0\0\4"
