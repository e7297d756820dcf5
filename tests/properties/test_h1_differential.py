"""HTTP/1 beside other readers: what h11 and the standard library refuse we refuse, what we take they read alike."""

from __future__ import annotations

import io
from email.errors import MessageDefect
from http.client import parse_headers

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.codec.h1_fault import MessageFault
from proxy.codec.h1_memo import HeadMemo
from tests.requirement import require
from tests.unit.proxy.codec.h1_roles import ServerRecorder, feed

try:
    import h11
except ImportError:
    h11 = None

NAMES = [
    b"Host",
    b"Content-Length",
    b"Transfer-Encoding",
    b"X-A",
    b"Accept",
    b"Connection",
    b"Cookie",
    b"X A",
    b"",
    b"X:",
]
VALUES = [b"a", b"3", b"03", b"chunked", b"close", b"", b" a ", b"a\tb", b"3, 3", b"\xe4", b"a\0b", b"-1", b"a=b; c=d"]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n "]

lines = st.builds(
    lambda name, colon, value, end: name + colon + value + end,
    st.sampled_from(NAMES),
    st.sampled_from([b":", b": ", b" :", b":\t"]),
    st.sampled_from(VALUES),
    st.sampled_from(ENDS),
)
heads = st.builds(
    lambda method, target, version, fields: (
        b"%b %b %b\r\nHost: a\r\n%b\r\n" % (method, target, version, b"".join(fields))
    ),
    st.sampled_from([b"GET", b"POST", b"get", b"G(T", b""]),
    st.sampled_from([b"/", b"/a?b", b"*", b"a b", b"http://a/", b"\x01"]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 "]),
    st.lists(lines, max_size=3),
)


@pytest.fixture(autouse=True)
def need_h11() -> None:
    require(h11, "h11 (pip install h11)")


def read_h11(raw: bytes) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]] | None:
    conn = h11.Connection(h11.SERVER)
    conn.receive_data(raw)
    try:
        event = conn.next_event()
    except h11.RemoteProtocolError:
        return None
    return (event.method, event.target, list(event.headers)) if isinstance(event, h11.Request) else None


def read_stdlib(raw: bytes) -> list[tuple[str, str]] | None:
    line, _, rest = raw.partition(b"\r\n")
    words = line.split()
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return None
    try:
        message = parse_headers(io.BytesIO(rest))  # type: ignore[arg-type]
    except (MessageDefect, UnicodeError, ValueError):
        return None
    return None if message.defects else message.items()


@settings(max_examples=500, deadline=None)
@given(heads)
def test_heads(raw: bytes) -> None:
    theirs = read_h11(raw)
    stdlib = read_stdlib(raw)
    at = raw.find(b"\r\n\r\n")
    if at < 0:
        return
    try:
        head = HeadMemo().request(raw[: at + 4])
    except MessageFault:
        return
    assert theirs is not None or stdlib is not None
    if theirs is not None:
        method, target, headers = theirs
        assert method == head.block.method
        assert target.removeprefix(b"http://a") == head.block.path or target == b"*"
        lengths = [int(value) for name, value in headers if name == b"content-length"]
        assert lengths == ([head.content_length] if head.content_length >= 0 else [])
    # And what we send on they take.
    again = read_h11(head.encoded)
    if theirs is not None:
        assert again is not None
        assert again[1] == head.block.path


bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


@settings(max_examples=100, deadline=None)
@given(bodies, st.sampled_from([b"", b";a=b", b";x"]))
def test_chunked_bodies(pieces: list[bytes], extension: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\nT: 1\r\n\r\n"
    ours = ServerRecorder()
    feed(ours, head + raw)
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(head + raw)
    events = []
    while not isinstance(event := theirs.next_event(), h11.EndOfMessage):
        events.append(event)
    data = b"".join(bytes(event.data) for event in events if isinstance(event, h11.Data))
    assert b"".join(event[1] for event in ours.events if event[0] == "data") == data == b"".join(pieces)
    assert ours.events[-1] == ("end", b"T: 1\r\n")


@settings(max_examples=100, deadline=None)
@given(bodies)
def test_what_we_send_is_read_by_others(pieces: list[bytes]) -> None:
    ours = ServerRecorder()
    ours.send_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 2)
    for piece in pieces:
        ours.send_data(piece)
    ours.send_end(b"T: 1\r\n")
    theirs = h11.Connection(h11.CLIENT)
    theirs.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    theirs.send(h11.EndOfMessage())
    theirs.receive_data(ours.take())
    data = b""
    while not isinstance(event := theirs.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Data):
            data += bytes(event.data)
    assert data == b"".join(pieces)
    assert event.headers == [(b"t", b"1")]
