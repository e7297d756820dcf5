"""One HTTP/1 connection, sans-I/O: bytes in through `feed`, bytes out through `take`, events by overridden methods.

Owns where messages begin and end (RFC 9112, section 6), in both directions, and asking whoever reads to pause. What
differs by role is in `h1_server` and `h1_client`; what is done with an event is the relay's.

Invariants: any chunking of the input gives the same events and output (pieces of a body may be cut differently); while
a message waits for its turn nothing of it is taken; every fault of the peer ends in `faulted`, never in an exception.
"""

from __future__ import annotations

from typing import Any

from proxy.codec.buffer import cut
from proxy.codec.constants import TURN
from proxy.codec.h1_chunks import DATA, DONE, LAST_CHUNK, TRAILERS, ChunkReader, encode_size
from proxy.codec.h1_fault import MessageFault
from proxy.codec.h1_head import CHUNKED, LENGTH, NO_BODY, UNTIL_CLOSE, Beginning, begin_head, find_end
from proxy.codec.h1_memo import HeadMemo

# What comes next on the wire.
HEAD = 0
FIXED_BODY = 1
CHUNKED_BODY = 2
OPEN_BODY = 3
TUNNEL = 4
NOTHING = 5
_HEAD, _FIXED_BODY, _CHUNKED_BODY = HEAD, FIXED_BODY, CHUNKED_BODY
_OPEN_BODY, _TUNNEL, _NOTHING = OPEN_BODY, TUNNEL, NOTHING
_NO_BODY, _LENGTH, _CHUNKED, _UNTIL_CLOSE = NO_BODY, LENGTH, CHUNKED, UNTIL_CLOSE
_DATA, _TRAILERS, _DONE = DATA, TRAILERS, DONE
# Of a turn; a head is a request to answer, too.
HEAD_COST = 128
_HEAD_COST = HEAD_COST


class Http1Connection:
    """Base of both roles. `flushes` is the list, shared by all connections of a loop, of those with something to do.

    For `net`: `paused` asks to read no more, `finishing` to send our end, `closed` to end the socket, `aborted` at
    once. `owner` is the relay's: the exchange that is under way.
    """

    __slots__ = (
        "aborted",
        "beginning",
        "blocked",
        "chunks",
        "closed",
        "dirty",
        "ended",
        "fault",
        "finishing",
        "flushes",
        "io",
        "left",
        "memo",
        "messages",
        "most",
        "now",
        "out",
        "owner",
        "paused",
        "reading",
        "resting",
        "sending",
        "turn",
    )

    def __init__(self, memo: HeadMemo, flushes: list[Any], now: float) -> None:
        self.memo = memo
        self.flushes = flushes
        # Whoever moves the bytes; belongs to `net`.
        self.io: Any = None
        self.owner: Any = None
        self.out = b""
        self.dirty = False
        # The socket takes no more bytes for now.
        self.blocked = False
        self.paused = False
        self.finishing = False
        self.closed = False
        self.aborted = False
        # The peer has sent its end.
        self.ended = False
        self.fault = ""
        self.now = now
        self.reading = _HEAD
        # Of a head that is not whole.
        self.beginning: Beginning | None = None
        # Of a fixed body, what is still to come.
        self.left = 0
        self.chunks: ChunkReader | None = None
        # How the body that is being sent ends.
        self.sending = _NO_BODY
        # Whole heads that came: what a peer has to show for the time it takes.
        self.messages = 0
        # What was taken in this turn, and what may be; and whether others come first, which is no pause: it is short.
        self.turn = 0
        self.most = TURN
        self.resting = False

    # ---- what the role and the relay override

    def head_received(self, raw: bytes, clean: bool) -> None:
        """A whole head; `clean` if nothing came after it in the same read."""
        raise NotImplementedError

    def data_received(self, piece: bytes) -> None:
        """A piece of the body, or of a tunnel."""
        raise NotImplementedError

    def message_received(self, trailers: bytes, clean: bool) -> None:
        """The body is over; nothing more is taken until `await_head`."""
        raise NotImplementedError

    def make_beginning(self) -> Beginning:
        """A head of which the first part has come."""
        return begin_head(self.memo.max_bytes, self.memo.max_fields)

    def surplus_received(self) -> None:
        """Bytes have come of which nothing can be taken now."""
        raise NotImplementedError

    def faulted(self, status: int, reason: str) -> None:
        """The peer broke the rules of the message that it is sending."""
        raise NotImplementedError

    def peer_ended(self, now: float) -> None:
        """The peer has sent its end, between or within messages."""
        raise NotImplementedError

    def lost(self, reason: str, now: float) -> None:
        """The socket is gone or no longer of use; called once."""
        raise NotImplementedError

    def block(self) -> None:
        """The socket takes no more: whatever is written now is kept in memory."""
        self.blocked = True

    def unblock(self) -> None:
        self.blocked = False

    # ---- input

    def feed(self, buf: bytearray, start: int, end: int, now: float) -> int:
        """Take what can be taken of `buf[start:end]` and return the position of the first byte not taken."""
        pos = start
        self.now = now
        self.turn = 0
        try:
            while pos < end and not self.closed and not self.resting:
                before = pos
                if self.reading == _HEAD:
                    pos = self._read_head(buf, pos, end)
                elif self.reading == _FIXED_BODY:
                    pos = self._read_fixed(buf, pos, end)
                elif self.reading == _CHUNKED_BODY:
                    pos = self._read_chunks(buf, pos, end)
                elif self.reading == _NOTHING:
                    pos = self._read_surplus(buf, pos, end)
                else:
                    pos = end
                    self.data_received(cut(buf, before, end))
                if pos == before:
                    break
        except MessageFault as fault:
            self.faulted(fault.status, fault.reason)
        return end if self.closed else pos

    def _read_head(self, buf: bytearray, pos: int, end: int) -> int:
        beginning = self.beginning
        at = find_end(buf, pos if beginning is None else max(pos, pos + beginning.looked - 3), end)
        if at < 0:
            if beginning is None:
                beginning = self.beginning = self.make_beginning()
            beginning.look(buf, pos, end)
            return pos
        self.beginning = None
        self.head_received(cut(buf, pos, at), at == end)
        self.messages += 1
        return at

    def _read_fixed(self, buf: bytearray, pos: int, end: int) -> int:
        size = end - pos
        if size > self.left:
            size = self.left
        self.left -= size
        self.data_received(cut(buf, pos, pos + size))
        if self.left == 0 and self.reading == _FIXED_BODY:
            self.reading = _NOTHING
            self.message_received(b"", pos + size == end)
        return pos + size

    def _read_chunks(self, buf: bytearray, pos: int, end: int) -> int:
        """All that there is, as one piece: what is done with a piece costs more than to read a chunk of a byte."""
        chunks = self.chunks
        assert chunks is not None
        pieces: list[bytes] = []
        try:
            pos = chunks.advance(buf, pos, end)
            while chunks.state == _DATA and pos < end and not self._has_had_turn():
                size = end - pos
                if size > chunks.left:
                    size = chunks.left
                chunks.consume(size)
                pieces.append(cut(buf, pos, pos + size))
                self.turn += 1
                pos = chunks.advance(buf, pos + size, end)
        finally:
            if pieces:
                self.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if chunks.state == _DONE and self.reading == _CHUNKED_BODY and not self.closed:
            self.reading = _NOTHING
            self.message_received(chunks.trailers, pos == end)
        return pos

    def _has_had_turn(self) -> bool:
        """Whether others come first."""
        if self.turn >= self.most and not self.resting:
            self.resting = True
            self.touch()
        return self.resting

    def _read_surplus(self, buf: bytearray, pos: int, end: int) -> int:
        self.surplus_received()
        return pos

    def is_in_trailers(self) -> bool:
        """Whether a trailer section has begun, or is due: like a head it is to come soon, and as a whole."""
        return self.reading == _CHUNKED_BODY and self.chunks is not None and self.chunks.state == _TRAILERS

    def await_head(self) -> None:
        """The next message may come; one that waits already is read before anything else."""
        self.reading = _HEAD
        if self.paused:
            self.resume()

    def await_body(self, framing: int, content_length: int, of_response: bool) -> None:
        """What follows the head that has just come; not for NO_BODY."""
        if framing == _LENGTH:
            self.reading = _FIXED_BODY
            self.left = content_length
        elif framing == _CHUNKED:
            self.reading = _CHUNKED_BODY
            if self.chunks is None:
                self.chunks = ChunkReader(self.memo.max_bytes, self.memo.max_fields, of_response)
            else:
                self.chunks.begin()
        else:
            self.reading = _OPEN_BODY

    def pause(self) -> None:
        if not self.paused:
            self.paused = True
            self.touch()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.touch()

    # ---- output

    def touch(self) -> None:
        """There is something to do for whoever moves the bytes."""
        if not self.dirty:
            self.dirty = True
            self.flushes.append(self)

    def take(self) -> bytes:
        """All output so far, to be written at once; clears it."""
        data = self.out
        self.out = b""
        return data

    def put(self, data: bytes) -> None:
        """One piece more. Mostly there are two at most, and to join them at once costs less than a list."""
        self.out = self.out + data if self.out else data
        if not self.dirty:
            self.dirty = True
            self.flushes.append(self)

    def send_head(self, head: bytes, framing: int) -> None:
        """The head of a message whose body will end like this."""
        self.sending = framing
        self.put(head)

    def send_data(self, piece: bytes) -> None:
        """A piece of the body that is being sent; an empty one would end a chunked one."""
        size = len(piece)
        if size == 0:
            return
        if self.sending == _CHUNKED:
            piece = b"".join((encode_size(size), piece, b"\r\n"))
        self.put(piece)

    def send_end(self, trailers: bytes) -> None:
        """The body is complete; trailers can follow a chunked one only."""
        if self.sending == _CHUNKED:
            self.put(LAST_CHUNK + trailers + b"\r\n")

    # ---- the end of the connection

    def tunnel(self) -> None:
        """From now on, bytes (RFC 9110, section 7.8)."""
        self.reading = _TUNNEL
        self.sending = _UNTIL_CLOSE

    def finish(self) -> None:
        """Send our end, and read on."""
        self.finishing = True
        self.touch()

    def close(self) -> None:
        """Nothing more is taken; what is out is sent, then the socket ended."""
        self.closed = True
        self.touch()

    def abort(self) -> None:
        """The peer must not take what it got for the whole."""
        self.aborted = True
        self.close()
