"""HTTP/1: however the bytes come, they mean the same; the memo changes nothing; nothing escapes `feed`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.codec.h1_memo import HeadMemo
from tests.unit.proxy.codec.h1_roles import ClientRecorder, ServerRecorder, feed

# Fragments that are legal in some places and dangerous in others.
FRAGMENTS = [
    b"GET / HTTP/1.1\r\n",
    b"POST /a?b HTTP/1.1\r\n",
    b"GET http://b/c HTTP/1.0\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 304 Not Modified\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Host: a\r\n",
    b"host:b \r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: x, upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"X: 1\r\n",
    b" folded\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b"abc",
    b"3\r\nabc\r\n",
    b"1;ext\r\na\r\n",
    b"1 \r\na\r\n",
    b"GET / HTTP/1.0\r\n",
    b"a:\r\n" * 98,
    b"a:\r\n" * 998,
    b"0\r\n",
    b"0\r\n\r\n",
    b"0\r\nT: 1\r\n\r\n",
    b"\0",
    b"x" * 600,
]
GOOD_REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: 1\r\n\r\n",
    b"\r\nGET http://b/c HTTP/1.0\r\n\r\n",
]
streams = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join),
    st.lists(st.one_of(st.sampled_from(GOOD_REQUESTS), st.sampled_from(FRAGMENTS)), max_size=8).map(b"".join),
    st.binary(max_size=60),
)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({place % (len(data) + 1) for place in cuts}), len(data)]
    return [data[first:last] for first, last in pairwise(places)]


def requests_in(pieces: list[bytes], memo: HeadMemo | None = None) -> tuple[list[Any], bool]:
    conn = ServerRecorder(memo)
    feed(conn, *pieces)
    return list(conn.events), conn.closed


def responses_in(pieces: list[bytes], is_head: bool) -> tuple[list[Any], bool]:
    conn = ClientRecorder()
    conn.send_request(conn.memo.request((b"HEAD" if is_head else b"GET") + b" / HTTP/1.1\r\nhost: a\r\n\r\n"))
    feed(conn, *pieces)
    conn.peer_ended(2.0)
    return list(conn.events), conn.closed


@settings(max_examples=400, deadline=None)
@given(streams, st.lists(st.integers(0, 5_000), max_size=12))
def test_requests_do_not_depend_on_how_they_come(data: bytes, cuts: list[int]) -> None:
    whole = requests_in([data])
    assert requests_in(cut(data, cuts)) == whole
    assert requests_in([data[at : at + 1] for at in range(len(data))]) == whole


@settings(max_examples=400, deadline=None)
@given(streams, st.lists(st.integers(0, 5_000), max_size=12), st.booleans())
def test_responses_do_not_depend_on_how_they_come(data: bytes, cuts: list[int], is_head: bool) -> None:
    whole = responses_in([data], is_head)
    assert responses_in(cut(data, cuts), is_head) == whole
    assert responses_in([data[at : at + 1] for at in range(len(data))], is_head) == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(streams, max_size=4))
def test_the_memo_changes_nothing(all_data: list[bytes]) -> None:
    memo = HeadMemo()
    off = HeadMemo(generation_bytes=0)
    for data in all_data * 2:
        assert requests_in([data], memo) == requests_in([data], off)


@settings(max_examples=300, deadline=None)
@given(streams)
def test_what_goes_on_is_read_the_same_again(data: bytes) -> None:
    """A head that we let through says the same to the next reader: same target, same end of the body."""
    conn = ServerRecorder()
    feed(conn, data)
    for event in conn.events:
        if event[0] == "request":
            again = HeadMemo().request(event[4])
            assert (again.block.method, again.block.path) == (event[1], event[3])
            assert again.encoded == event[4]
            assert again.block.authority == event[2]
