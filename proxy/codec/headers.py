"""Header blocks as the relay sees them: `HeaderBlock`, checked for its position, and `HeaderReader` with the memo.

Why it exists: as long as the dynamic table stays as it is, the same bytes mean the same headers, so a block that was
read once is found again by one look-up, with all that the relay has decided about it. The memo's rules (DESIGN 3.1):
the key is position and raw bytes; a block is kept only if decoding it changed nothing in the table, and any change
forgets all. Invariant: memo on == memo off. Checks are those of RFC 9113, sections 8.2 and 8.3.
"""

from __future__ import annotations

from proxy.codec.fields import (
    AUTHORITY,
    CONNECTION_SPECIFIC,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    GRPC_PUSHBACK,
    GRPC_STATUS,
    GRPC_TIMEOUT,
    HOST,
    KINDS,
    MALFORMED,
    METHOD,
    OTHER_PSEUDO,
    PATH,
    RETRY_AFTER,
    SCHEME,
    STATUS,
    TE,
    Field,
)
from proxy.codec.hpack import DEFAULT_FIELDS, DEFAULT_LIST_BYTES, DEFAULT_TABLE_BYTES, Decoder
from proxy.codec.values import is_grpc, is_same_host, is_trailers, read_delay, read_number, read_timeout

# Positions of a block: what is right in one is wrong in another.
REQUEST = 0
RESPONSE = 1
TRAILERS = 2
_REQUEST, _RESPONSE, _TRAILERS = REQUEST, RESPONSE, TRAILERS  # private names are C constants where this is compiled

MEMO_BYTES = 65_536
# What an entry takes besides its two strings, and what each literal in it takes (an indexed field is a table's).
MEMO_ENTRY_BYTES = 448
MEMO_FIELD_BYTES = 192

# From here on it is worth the time to refer to the receiver's table too, see `encoder`. An ordinary gRPC request's
# references stand for 200 bytes, one with a token of 1 KB for 1,200.
BULKY_BYTES = 512

# Sets of kinds, as bits.
_NEVER = 1 << CONNECTION_SPECIFIC | 1 << MALFORMED | 1 << OTHER_PSEUDO
_OF_REQUEST = 1 << METHOD | 1 << SCHEME | 1 << AUTHORITY | 1 << PATH
_NOT_IN_REQUEST = _NEVER | 1 << STATUS
_NOT_IN_RESPONSE = _NEVER | _OF_REQUEST
_NOT_IN_TRAILERS = _NOT_IN_RESPONSE | 1 << STATUS
_REQUIRED = 1 << METHOD | 1 << SCHEME | 1 << PATH
_CONNECT = 1 << METHOD | 1 << AUTHORITY
_NUMBERS = 1 << CONTENT_LENGTH | 1 << GRPC_STATUS | 1 << GRPC_TIMEOUT | 1 << GRPC_PUSHBACK | 1 << RETRY_AFTER

_SCHEME_CHARACTERS = b"+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class HeaderBlock:
    """A read header block. Shared by all streams that sent these bytes, so read-only but for the relay's two slots.

    `malformed` says why the block is no HTTP message ('' if it is one). A malformed or oversize one has no `encoded`.
    `bulky` if what it refers to in the sender's table is long. Bytes that are absent are b'', numbers that are absent
    or unreadable -1. `size` is counted as in RFC 9113, 6.5.2.
    """

    __slots__ = (
        "authority",
        "bulky",
        "content_length",
        "content_type",
        "decision",
        "encoded",
        "epoch",
        "fields",
        "grpc",
        "grpc_status",
        "grpc_timeout_s",
        "informational",
        "malformed",
        "method",
        "oversize",
        "path",
        "pushback_s",
        "scheme",
        "size",
        "status",
    )

    fields: list[Field]
    size: int
    encoded: bytes
    malformed: str
    oversize: bool
    bulky: bool
    method: bytes
    scheme: bytes
    authority: bytes  # or `host`, where that is absent
    path: bytes
    status: int
    informational: bool
    content_length: int
    content_type: bytes
    grpc: bool
    grpc_status: int
    grpc_timeout_s: float
    pushback_s: float
    decision: object
    epoch: int

    def _read(self, position: int) -> str:
        """One pass that collects the special fields, then the checks; the reason if the block is malformed."""
        special = [b""] * KINDS
        fault = ""
        seen = size = regular = 0
        for field in self.fields:
            size += field.size
            kind = field.kind
            if kind == 0:
                regular = 1
                continue
            if kind > OTHER_PSEUDO:
                regular = 1
            elif regular:
                fault = "pseudo-header after a regular field"
            if seen >> kind & 1 and not fault:
                fault = find_repetition(kind, special[kind], field.value)
            seen |= 1 << kind
            special[kind] = field.value
        self.size = size
        self.content_type = special[CONTENT_TYPE]
        self.grpc = is_grpc(self.content_type)
        if seen & _NUMBERS:
            self._read_numbers(special, seen)
            if seen >> CONTENT_LENGTH & 1 and self.content_length < 0:
                fault = "content-length is no number"
        if seen >> TE & 1 and not is_trailers(special[TE]):
            fault = "te other than trailers"
        if position == _REQUEST:
            return self._read_request(special, seen) or fault
        if position == _RESPONSE:
            return self._read_response(special[STATUS], seen) or fault
        return describe_forbidden(seen & _NOT_IN_TRAILERS) if seen & _NOT_IN_TRAILERS else fault

    def _read_request(self, special: list[bytes], seen: int) -> str:
        self.method = special[METHOD]
        self.scheme = special[SCHEME]
        self.path = special[PATH]
        self.authority = special[AUTHORITY] or special[HOST]
        if seen & _NOT_IN_REQUEST:
            return describe_forbidden(seen & _NOT_IN_REQUEST)
        if seen >> AUTHORITY & 1 and not special[AUTHORITY]:
            return "empty :authority"
        if self.method == b"CONNECT":
            return "" if seen & _OF_REQUEST == _CONNECT else "CONNECT with the wrong pseudo-headers"
        if seen & _REQUIRED != _REQUIRED:
            return "missing pseudo-header"
        if seen >> HOST & 1 and not is_same_host(self.scheme, self.authority, special[HOST]):
            return "host contradicts :authority"
        if seen >> HOST & 1 and seen >> AUTHORITY & 1:
            # One is enough, and servers differ over what else is equal (RFC 9113, section 8.3.1).
            self.fields = [field for field in self.fields if field.kind != HOST]
        return find_target_fault(self)

    def _read_response(self, value: bytes, seen: int) -> str:
        if seen & _NOT_IN_RESPONSE:
            return describe_forbidden(seen & _NOT_IN_RESPONSE)
        status = read_number(value, len(value), 3)
        if status < 100:
            return ":status missing or not of three digits"
        self.status = status
        self.informational = status < 200
        return "status 101 in HTTP/2" if status == 101 else ""

    def _read_numbers(self, special: list[bytes], seen: int) -> None:
        if seen >> GRPC_TIMEOUT & 1:
            self.grpc_timeout_s = read_timeout(special[GRPC_TIMEOUT])
        if seen >> GRPC_STATUS & 1:
            self.grpc_status = read_number(special[GRPC_STATUS], len(special[GRPC_STATUS]), 9)
        if seen >> CONTENT_LENGTH & 1:
            self.content_length = read_number(special[CONTENT_LENGTH], len(special[CONTENT_LENGTH]), 18)
        if seen >> GRPC_PUSHBACK & 1:
            self.pushback_s = read_delay(special[GRPC_PUSHBACK], 0.001)
        elif seen >> RETRY_AFTER & 1:
            self.pushback_s = read_delay(special[RETRY_AFTER], 1.0)


def make_block(position: int, fields: list[Field], oversize: bool = False) -> HeaderBlock:
    """Read the fields of a block for its position."""
    if position < _REQUEST or position > _TRAILERS:
        raise ValueError("no such position")
    block = HeaderBlock()
    block.fields = fields
    block.oversize = oversize
    block.bulky = False
    block.decision = None
    block.epoch = block.content_length = block.grpc_status = -1
    block.grpc_timeout_s = block.pushback_s = -1.0
    block.method = block.scheme = block.path = block.authority = b""
    block.status = 0
    block.informational = False
    fault = block._read(position)
    block.malformed = "" if oversize else fault
    block.encoded = b"" if oversize or fault else b"".join([field.encoded for field in fields])
    return block


def find_repetition(kind: int, first: bytes, second: bytes) -> str:
    """What is wrong with a second field of a kind; '' where that is fine."""
    if kind <= OTHER_PSEUDO:
        return "repeated pseudo-header"
    if kind == HOST:
        return "repeated host"
    if kind == CONTENT_LENGTH:
        return "repeated content-length"
    if kind == TE and not is_trailers(first):
        return "te other than trailers"
    return ""


def describe_forbidden(kinds: int) -> str:
    """Name the worst of the kinds (as bits) that must not be in this position."""
    if kinds >> MALFORMED & 1:
        return "illegal character in a field name or value"
    if kinds >> CONNECTION_SPECIFIC & 1:
        return "connection-specific field"
    if kinds >> OTHER_PSEUDO & 1:
        return "unknown pseudo-header"
    return "pseudo-header in the wrong place"


def find_target_fault(block: HeaderBlock) -> str:
    """What is wrong with scheme, user information or path (RFC 9113, section 8.3.1)."""
    scheme = block.scheme
    if scheme != b"http" and scheme != b"https":
        if not scheme[:1].isalpha() or scheme.translate(None, _SCHEME_CHARACTERS):
            return "illegal :scheme"
        if scheme.lower() != b"http" and scheme.lower() != b"https":
            return ""
    if not block.authority:
        return "neither :authority nor host"
    if 0x40 in block.authority:
        return "user information in :authority"
    path = block.path
    p = path
    if len(path) == 0 or (p[0] != 0x2F and (path != b"*" or block.method != b"OPTIONS")):
        return "illegal :path"
    return ""


class HeaderReader:
    """Reads the header blocks that one connection sends, in order. `memo_bytes` bounds the memo, 0 turns it off."""

    __slots__ = ("_decoder", "_free_bytes", "_memo_bytes", "_memos")

    def __init__(
        self,
        max_table_bytes: int = DEFAULT_TABLE_BYTES,
        max_list_bytes: int = DEFAULT_LIST_BYTES,
        max_fields: int = DEFAULT_FIELDS,
        memo_bytes: int = MEMO_BYTES,
    ) -> None:
        self._decoder = Decoder(max_table_bytes, max_list_bytes, max_fields)
        self._memo_bytes = memo_bytes
        self._free_bytes = memo_bytes
        self._memos: tuple[dict[bytes, HeaderBlock], ...] = ({}, {}, {})

    def read(self, position: int, block: bytes) -> HeaderBlock:
        """The very same HeaderBlock as long as the same bytes mean the same; CompressionFault ends the connection."""
        if position < _REQUEST or position > _TRAILERS:
            raise ValueError("no such position")
        memo = self._memos[position]
        found = memo.get(block)
        if found is not None:
            return found
        decoder = self._decoder
        headers = make_block(position, decoder.decode(block), decoder.oversize)
        headers.bulky = decoder.referred_bytes > BULKY_BYTES
        if decoder.changed:
            if self._free_bytes != self._memo_bytes:
                self.forget()
        elif not headers.malformed and not headers.oversize:
            self._remember(memo, block, headers)
        return headers

    def forget(self) -> None:
        """Empty the memo."""
        self._free_bytes = self._memo_bytes
        for memo in self._memos:
            memo.clear()

    def _remember(self, memo: dict[bytes, HeaderBlock], block: bytes, headers: HeaderBlock) -> None:
        cost_bytes = len(block) + len(headers.encoded) + self._decoder.literals * MEMO_FIELD_BYTES + MEMO_ENTRY_BYTES
        if cost_bytes > self._free_bytes:
            self.forget()
        if cost_bytes <= self._free_bytes:
            self._free_bytes -= cost_bytes
            memo[block] = headers
