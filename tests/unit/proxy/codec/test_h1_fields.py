"""Names of interest: every spelling of them is one, and nothing else is, however near."""

from __future__ import annotations

import pytest

from proxy.codec.h1_fault import MessageFault
from proxy.codec.h1_fields import TOKEN, Fields

# A value of each that leaves a trace.
VALUES = {
    b"host": b"h",
    b"content-length": b"5",
    b"transfer-encoding": b"chunked",
    b"connection": b"x",
    b"upgrade": b"websocket",
    b"te": b"trailers",
    b"expect": b"100-continue",
    b"keep-alive": b"timeout=5",
    b"retry-after": b"3",
    b"proxy-connection": b"x",
    b"http2-settings": b"x",
}


def read(name: bytes, value: bytes) -> tuple[object, ...] | str:
    """All that is made of one line."""
    raw = name + b": " + value + b"\r\n"
    found = Fields()
    try:
        found.read(raw, 0, len(raw), 1)
    except MessageFault as fault:
        return fault.reason
    flags = (found.chunked, found.close, found.keep_alive, found.te_trailers, found.expects_continue)
    numbers = (found.content_length, found.keep_alive_s, found.retry_after_s)
    return found.host, found.upgrade, found.tokens, flags, numbers, found.kept() == raw


NOTHING = read(b"x", b"x")


@pytest.mark.parametrize("name", VALUES)
def test_a_name_in_any_case_is_the_name(name: bytes) -> None:
    expected = read(name, VALUES[name])
    assert expected != NOTHING
    for at in range(len(name)):
        mixed = name[:at] + name[at:].upper(), name[:at].upper() + name[at:], name[:at] + name[at:].title()
        assert {read(spelling, VALUES[name]) == expected for spelling in mixed} == {True}


@pytest.mark.parametrize("name", VALUES)
def test_what_is_nearly_a_name_is_none(name: bytes) -> None:
    near = {name[:at] for at in range(1, len(name))} | {name[at:] for at in range(1, len(name))}
    for byte in TOKEN:
        near |= {name + bytes((byte,)), bytes((byte,)) + name}
        for spelling in (name, name.upper(), name.title()):
            near |= {spelling[:at] + bytes((byte,)) + spelling[at + 1 :] for at in range(len(name))}
    others = sorted(spelling for spelling in near if spelling.lower() not in VALUES)
    assert len(others) > 100
    assert [spelling for spelling in others if read(spelling, VALUES[name]) != NOTHING] == []
