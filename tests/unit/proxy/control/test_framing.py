from __future__ import annotations

import pytest

from proxy.control.framing import MAX_MESSAGE_BYTES, Deframer, FramingError, encode_message


def test_messages_come_out_as_they_went_in() -> None:
    deframer = Deframer()
    assert deframer.feed(encode_message(b"one") + encode_message(b"") + encode_message(b"x" * 70_000)[:9]) == [
        b"one",
        b"",
    ]
    assert deframer.feed(b"x" * 69_996) == [b"x" * 70_000]


def test_a_compressed_message_is_refused() -> None:
    with pytest.raises(FramingError, match="compressed"):
        Deframer().feed(b"\x01\x00\x00\x00\x01x")


def test_a_message_is_bounded_before_it_comes() -> None:
    with pytest.raises(FramingError, match="above"):
        Deframer().feed(b"\x00" + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"))
    assert Deframer().feed(b"\x00" + MAX_MESSAGE_BYTES.to_bytes(4, "big")) == []
