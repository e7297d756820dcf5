from __future__ import annotations

from proxy.codec.buffer import cut


def test_a_cut_is_bytes_of_its_own() -> None:
    buf = bytearray(b"0123456789")
    piece = cut(buf, 2, 5)
    buf[:] = bytes(10)
    assert type(piece) is bytes
    assert piece == b"234"
    assert cut(buf, 3, 3) == b""
