"""The field lines of an HTTP/1 head or trailer section: checked, the hop-by-hop ones taken out, the special ones read.

Lines that go on are kept as they came, with their case. A head whose bytes are new (a trace's id is, each time) costs
one walk over them. Whatever two readers could understand in two ways is a fault
(RFC 9112, sections 5 and 6; RFC 9110, section 7.6.1): folded lines, spaces before a colon, a length said twice.
A response may say what it need not, where that leaves one meaning: the same length again, the coding `identity`.
"""

from __future__ import annotations

from proxy.codec.h1_fault import BAD_REQUEST, FIELDS_TOO_LARGE, NOT_IMPLEMENTED, MessageFault
from proxy.codec.values import read_delay, read_number

# Names of interest. 0 is every other one.
HOST = 1
CONTENT_LENGTH = 2
TRANSFER_ENCODING = 3
CONNECTION = 4
UPGRADE = 5
TE = 6
EXPECT = 7
KEEP_ALIVE = 8
RETRY_AFTER = 9
PROXY_CONNECTION = 10
HTTP2_SETTINGS = 11

# By those numbers. No two have the same first byte and size.
_NAMES = (
    b"",
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"te",
    b"expect",
    b"keep-alive",
    b"retry-after",
    b"proxy-connection",
    b"http2-settings",
)
TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# All of a head but the ends of its lines.
_LEGAL = bytes(byte for byte in range(256) if byte == 0x09 or (byte >= 0x20 and byte != 0x7F))
CONTROL_CHARACTER = "control character in a head"
TOO_MANY = "too many fields"
# By byte: whether it may be in a name, and in a value.
IN_NAME = bytes(byte in TOKEN for byte in range(256))
_IN_NAME = IN_NAME
IN_VALUE = bytes(byte in _LEGAL for byte in range(256))
_IN_VALUE = IN_VALUE
# By first byte and size: the one name of interest that is like that. Nearly no other name is.
_SIZE_BITS = 5
_BY_SHAPE = {name[0] << _SIZE_BITS | len(name): kind for kind, name in enumerate(_NAMES) if name}
_LIKE_KNOWN = bytes(_BY_SHAPE.get(shape, 0) for shape in range(256 << _SIZE_BITS))
_MAX_KNOWN = max(map(len, _NAMES))
# Of a letter's bits, the one that says lower case. No other byte of a token becomes one of those names' by it.
_LOWER = 0x20
_BLANKS = b" \t"
# An option of Connection by which a sidecar tells the next one that no application has seen the request: it may be sent
# elsewhere, as after HTTP/2's REFUSED_STREAM. Options are for one hop, so no application can pass another's on.
REFUSED = b"gossamer-refused"
# Options of Connection that are no names of fields to take out, or that are seen to anyway.
_OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings", b"transfer-encoding"))
# A field that says where a message ends, or whom it is for, is not the next hop's alone.
_END_TO_END = frozenset((b"host", b"content-length"))
_MAX_LENGTH_DIGITS = 18


class Fields:
    """What was read of field lines; -1 and b'' where a special field is absent."""

    __slots__ = (
        "altered",
        "begin",
        "chunked",
        "close",
        "content_length",
        "end",
        "expects_continue",
        "host",
        "keep_alive",
        "keep_alive_s",
        "of_response",
        "parts",
        "raw",
        "retry_after_s",
        "te_trailers",
        "tokens",
        "upgrade",
    )

    def __init__(self, of_response: bool = False) -> None:
        self.of_response = of_response
        # The lines as they came, and, where some had to be taken out, the pieces that go on.
        self.raw = b""
        self.begin = 0
        self.end = 0
        self.parts: list[bytes] = []
        self.altered = False
        self.host: bytes | None = None
        self.content_length = -1
        self.chunked = False
        self.close = False
        self.keep_alive = False
        self.upgrade = b""
        self.te_trailers = False
        self.expects_continue = False
        self.keep_alive_s = -1.0
        self.retry_after_s = -1.0
        # Names that Connection says are for this hop only.
        self.tokens: list[bytes] | None = None

    def read(self, raw: bytes, pos: int, end: int, max_fields: int) -> None:
        """Take in `raw[pos:end]`: lines, each with its end, which is the end of `raw` or followed by more.

        A line's end is in neither a name nor a value, so it stops each walk, and its bytes need no other bound.
        """
        p = raw
        in_name = _IN_NAME
        in_value = _IN_VALUE
        count = 0
        kept_from = pos
        self.raw = raw
        self.begin = pos
        self.end = end
        while pos < end:
            count += 1
            if count > max_fields:
                raise MessageFault(FIELDS_TOO_LARGE, TOO_MANY)
            start = pos
            while in_name[p[pos]]:
                pos += 1
            if pos == start or p[pos] != 0x3A:
                raise MessageFault(BAD_REQUEST, describe_bad_name(raw[start : raw.find(b"\r\n", start)]))
            colon = pos
            pos += 1
            while in_value[p[pos]]:
                pos += 1
            if p[pos] != 0x0D or p[pos + 1] != 0x0A:
                raise MessageFault(BAD_REQUEST, CONTROL_CHARACTER)
            pos += 2
            kind = find_kind(raw, start, colon)
            if kind and not self._read_special(kind, strip(raw, colon + 1, pos - 2)):
                self.altered = True
                if start > kept_from:
                    self.parts.append(p[kept_from:start])
                kept_from = pos
        if self.altered:
            self.parts.append(p[kept_from:end])
        if self.tokens is not None:
            self._remove_named(self.tokens)
        if self.chunked and self.content_length >= 0:
            raise MessageFault(BAD_REQUEST, "both transfer-encoding and content-length")

    def kept(self) -> bytes:
        """The lines that go on, each with its end."""
        if not self.parts:
            return self.raw[self.begin : self.end]
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    def _read_special(self, kind: int, value: bytes) -> bool:
        """Whether the field goes on as it is."""
        if kind == HOST:
            if self.host is not None:
                raise MessageFault(BAD_REQUEST, "several host fields")
            self.host = value
        elif kind == CONTENT_LENGTH:
            return self._read_length(read_number(value, len(value), _MAX_LENGTH_DIGITS))
        elif kind == EXPECT:
            self.expects_continue = value.lower() == b"100-continue"
        elif kind == RETRY_AFTER:
            self.retry_after_s = read_delay(value, 1.0)
        else:
            self._read_hop(kind, value)
            return False
        return True

    def _read_length(self, length: int) -> bool:
        """Whether it goes on: it does not where it only says again what another has said."""
        if length < 0:
            raise MessageFault(BAD_REQUEST, "content-length is no number")
        if self.content_length < 0:
            self.content_length = length
            return True
        if not self.of_response or length != self.content_length:
            raise MessageFault(BAD_REQUEST, "several content-length fields")
        return False

    def _read_hop(self, kind: int, value: bytes) -> None:
        """A field for this hop only."""
        if kind == TRANSFER_ENCODING:
            self._read_coding(value.lower())
        elif kind == CONNECTION:
            self._read_connection(value)
        elif kind == UPGRADE:
            # Two of them are a choice, and websocket is taken only where it is the only one.
            self.upgrade = value.lower() if not self.upgrade else b","
        elif kind == TE:
            weightless = [part.partition(b";")[0].strip(_BLANKS) for part in value.lower().split(b",")]
            self.te_trailers = self.te_trailers or b"trailers" in weightless
        elif kind == KEEP_ALIVE:
            for part in value.lower().split(b","):
                key, _, number = part.strip(_BLANKS).partition(b"=")
                if key == b"timeout":
                    self.keep_alive_s = read_delay(number, 1.0)

    def _read_coding(self, coding: bytes) -> None:
        if self.of_response and coding == b"identity":
            return
        if self.chunked:
            raise MessageFault(BAD_REQUEST, "several transfer-encoding fields")
        if coding != b"chunked":
            raise MessageFault(NOT_IMPLEMENTED, "transfer-encoding other than chunked")
        self.chunked = True

    def _read_connection(self, value: bytes) -> None:
        for part in value.split(b","):
            option = part.strip(_BLANKS).lower()
            if not option:
                continue
            if option.translate(None, TOKEN):
                raise MessageFault(BAD_REQUEST, "connection option is no token")
            if option in _END_TO_END:
                raise MessageFault(BAD_REQUEST, "connection names an end-to-end field")
            self.close = self.close or option == b"close"
            self.keep_alive = self.keep_alive or option == b"keep-alive"
            if self.tokens is None:
                self.tokens = []
            self.tokens.append(option)

    def _remove_named(self, tokens: list[bytes]) -> None:
        named = frozenset(tokens) - _OPTIONS
        if named:
            self.parts = [without(self.kept(), named)]

    def wants_upgrade(self) -> bool:
        """Whether this hop is to become a WebSocket (RFC 6455, section 4)."""
        return self.upgrade == b"websocket" and self.tokens is not None and b"upgrade" in self.tokens


def find_kind(raw: bytes, start: int, colon: int) -> int:
    """Which name of interest, in whatever case, the token `raw[start:colon]` is."""
    p = raw
    like_known = _LIKE_KNOWN
    size = colon - start
    if size > _MAX_KNOWN:
        return 0
    kind = like_known[(p[start] | _LOWER) << _SIZE_BITS | size]
    if kind:
        name: bytes = _NAMES[kind]
        known = name
        for at in range(size):
            if p[start + at] | _LOWER != known[at]:
                return 0
    return kind


def strip(raw: bytes, begin: int, end: int) -> bytes:
    """`raw[begin:end]` without the blanks around it."""
    p = raw
    while begin < end and (p[begin] == 0x20 or p[begin] == 0x09):
        begin += 1
    while begin < end and (p[end - 1] == 0x20 or p[end - 1] == 0x09):
        end -= 1
    return p[begin:end]


def describe_bad_name(line: bytes) -> str:
    """Name what is wrong before a line's colon."""
    if line[:1] in (b" ", b"\t"):
        return "folded line"
    name, colon, _ = line.partition(b":")
    if not colon:
        return "field without a colon"
    return "blank before a colon" if name.rstrip(_BLANKS) != name else "field name is no token"


def without(lines: bytes, names: frozenset[bytes]) -> bytes:
    """The lines, each with its end, but for those with one of these names."""
    found = lines[: len(lines) - 2].split(b"\r\n") if lines else []
    return b"".join([line + b"\r\n" for line in found if line.partition(b":")[0].lower() not in names])


def is_legal(text: bytes) -> bool:
    """Whether lines, each with its end, hold no control character, CR and LF included, but HTAB."""
    return not text.replace(b"\r\n", b"").translate(None, _LEGAL)


def read_trailers(text: bytes, max_fields: int) -> bytes:
    """The trailer section that goes on; `text` is lines, each with its end.

    What belongs into the head cannot come later (RFC 9110, section 6.5.1): framing in it is a fault.
    """
    fields = Fields()
    fields.read(text, 0, len(text), max_fields)
    if fields.host is not None or fields.content_length >= 0 or fields.chunked:
        raise MessageFault(BAD_REQUEST, "field in a trailer that belongs into the head")
    return fields.kept()
