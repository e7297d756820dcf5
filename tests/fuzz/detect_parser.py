"""Detection and the ClientHello for the table in `parsers`, looked at as a peeking proxy does: again and again."""

from __future__ import annotations

from typing import Any

from proxy.codec.detect import MAX_BYTES, MORE, detect

_LOOKS = 40


def parse_first_bytes(data: bytes) -> Any:
    """Each look comes when there is as much as the one before has asked for; a verdict once given stays."""
    final = detect(data)
    size = len(data) // 2
    looks = []
    for _look in range(_LOOKS):
        verdict = detect(data[:size])
        looks.append(tuple(verdict))
        if verdict.kind != MORE:
            assert verdict == final, "more bytes have changed the verdict"
            break
        assert size < verdict.needed <= MAX_BYTES, "a proxy would wait for what it never looks at"
        if verdict.needed > len(data):
            assert final.kind == MORE, "it needs less than it asked for"
            break
        size = verdict.needed
    return tuple(final), looks
