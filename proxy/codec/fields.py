"""Header fields as the data path carries them: `Field`, the kinds of names it cares about, literals for HPACK output.

A `Field` is made once, when its literal arrives, and holds its finished output form: a block is forwarded by joining
`encoded`. Invariant: `encoded` never refers to a dynamic table, and a never-indexed field stays one (RFC 7541, 6.2.3).
A field that may not be forwarded (RFC 9113, section 8.2.1) has the kind MALFORMED, whatever its name.
"""

from __future__ import annotations

from proxy.codec.huffman import encode_huffman

# Kinds of names. 0 is every name the data path has no interest in; up to OTHER_PSEUDO they are pseudo-headers.
ORDINARY = 0
METHOD = 1
SCHEME = 2
AUTHORITY = 3
PATH = 4
STATUS = 5
OTHER_PSEUDO = 6
HOST = 7
CONTENT_LENGTH = 8
CONTENT_TYPE = 9
GRPC_STATUS = 10
GRPC_TIMEOUT = 11
GRPC_PUSHBACK = 12
RETRY_AFTER = 13
TE = 14
COOKIE = 15
CONNECTION_SPECIFIC = 16
MALFORMED = 17
KINDS = 18

KIND_BY_NAME = {
    b":method": METHOD,
    b":scheme": SCHEME,
    b":authority": AUTHORITY,
    b":path": PATH,
    b":status": STATUS,
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"content-type": CONTENT_TYPE,
    b"grpc-status": GRPC_STATUS,
    b"grpc-timeout": GRPC_TIMEOUT,
    b"grpc-retry-pushback-ms": GRPC_PUSHBACK,
    b"retry-after": RETRY_AFTER,
    b"te": TE,
    b"cookie": COOKIE,
    b"connection": CONNECTION_SPECIFIC,
    b"keep-alive": CONNECTION_SPECIFIC,
    b"proxy-connection": CONNECTION_SPECIFIC,
    b"transfer-encoding": CONNECTION_SPECIFIC,
    b"upgrade": CONNECTION_SPECIFIC,
    b"http2-settings": CONNECTION_SPECIFIC,
}

# A name is a lower-case token (RFC 9110, section 5.6.2), a pseudo-header's has one colon before it.
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_METHOD_TOKEN = _TOKEN + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What may be in a value but not in a pseudo-header: it would end a part of an HTTP/1 request line.
# As a table: bytes.translate gives a string without any of them back as it is, and builds no table of its own.
_CONTROLS = bytes(0x20 if (byte < 0x20 and byte != 0x09) or byte == 0x7F else byte for byte in range(256))
_BLANKS_AND_CONTROLS = bytes(range(0x21)) + b"\x7f"

FIELD_OVERHEAD_BYTES = 32  # RFC 7541, section 4.1
NO_TABLE = b"\x20"  # dynamic table size update to 0: what the first block on an upstream connection begins with


class FieldName:
    """A checked name with its kind and the beginnings of a literal that has it, without and never indexed."""

    __slots__ = ("kind", "literal", "never", "size", "strict", "text")

    text: bytes
    kind: int
    size: int  # of a field with this name and no value
    strict: bool  # the value may end up in a request line or decide where a request goes
    literal: bytes
    never: bytes


class Field:
    """One header field; `size` as HPACK and SETTINGS_MAX_HEADER_LIST_SIZE count it, `encoded` its output form.

    `repeated` once it was sent by its index: then it is likely to come again.
    """

    __slots__ = ("encoded", "kind", "label", "name", "repeated", "size", "value")

    label: FieldName
    name: bytes
    value: bytes
    kind: int
    size: int
    encoded: bytes
    repeated: bool

    @property
    def malformed(self) -> bool:
        """True if the field may not be forwarded."""
        return self.kind == MALFORMED


def encode_integer(value: int, prefix_bits: int, first: int) -> bytes:
    """RFC 7541, section 5.1; `first` holds the bits above the prefix."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes((first | value,))
    out = bytearray((first | limit,))
    value -= limit
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_string(text: bytes) -> bytes:
    """RFC 7541, section 5.2: Huffman-coded where that is shorter."""
    packed = encode_huffman(text)
    if len(packed) < len(text):
        return encode_integer(len(packed), 7, 0x80) + packed
    return encode_integer(len(text), 7, 0) + text


def classify_name(text: bytes) -> int:
    """The kind of a name; MALFORMED if it is none."""
    pseudo = text[:1] == b":"
    body = text[1:] if pseudo else text
    if not body or body.translate(None, _TOKEN):
        return MALFORMED
    return KIND_BY_NAME.get(text, OTHER_PSEUDO if pseudo else ORDINARY)


def is_legal_value(value: bytes) -> bool:
    """RFC 9110, section 5.5: stricter than RFC 9113, since servers are (Go's ends the stream before it has begun)."""
    p = value
    size = len(value)
    if size == 0:
        return True
    if p[0] == 0x20 or p[0] == 0x09 or p[size - 1] == 0x20 or p[size - 1] == 0x09:
        return False
    return value.translate(_CONTROLS) == value


def is_legal_part(kind: int, value: bytes) -> bool:
    """What a pseudo-header or `host` may say: no blanks and controls, and a method is a token."""
    if kind == METHOD:
        return value != b"" and not value.translate(None, _METHOD_TOKEN)
    return len(value.translate(None, _BLANKS_AND_CONTROLS)) == len(value)


def make_name(text: bytes, raw: bytes) -> FieldName:
    """`raw` is the name as an HPACK string, to be sent on as it came."""
    index = STATIC_NAMES.get(text, 0)
    label = FieldName()
    label.text = text
    label.kind = classify_name(text)
    label.size = len(text) + FIELD_OVERHEAD_BYTES
    label.strict = ORDINARY < label.kind <= HOST
    label.literal = encode_integer(index, 4, 0) + (b"" if index else raw)
    label.never = encode_integer(index, 4, 0x10) + (b"" if index else raw)
    return label


def make_literal(label: FieldName, value: bytes, raw: bytes, never_indexed: bool) -> Field:
    """`raw` is the value as an HPACK string, to be sent on as it came."""
    field = Field()
    field.label = label
    field.name = label.text
    field.value = value
    field.size = label.size + len(value)
    field.encoded = (label.never if never_indexed else label.literal) + raw
    field.repeated = False
    field.kind = label.kind
    if not is_legal_value(value) or (label.strict and not is_legal_part(label.kind, value)):
        field.kind = MALFORMED
    return field


def make_field(name: bytes, value: bytes, never_indexed: bool = False) -> Field:
    """A field of our own, or from HTTP/1; its output form is the shortest without a dynamic table."""
    field = make_literal(make_name(name, encode_string(name)), value, encode_string(value), never_indexed)
    index = STATIC_INDEX.get((name, value), 0)
    if index and not never_indexed:
        field.encoded = encode_integer(index, 7, 0x80)
    return field


def encode_field(name: bytes, value: bytes, never_indexed: bool = False) -> bytes:
    """The output form of a field of a block that we make ourselves."""
    return make_field(name, value, never_indexed).encoded


# RFC 7541, appendix A.
STATIC_TABLE = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    *((b":status", status) for status in b"200 204 206 304 400 404 500".split()),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    *(
        (name, b"")
        for name in (
            b"accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control "
            b"content-disposition content-encoding content-language content-length content-location content-range "
            b"content-type cookie date etag expect expires from host if-match if-modified-since if-none-match "
            b"if-range if-unmodified-since last-modified link location max-forwards proxy-authenticate "
            b"proxy-authorization range referer refresh retry-after server set-cookie strict-transport-security "
            b"transfer-encoding user-agent vary via www-authenticate"
        ).split()
    ),
)
STATIC_ENTRIES = len(STATIC_TABLE)
STATIC_INDEX = {entry: index for index, entry in enumerate(STATIC_TABLE, 1)}
STATIC_NAMES = {name: STATIC_ENTRIES - index for index, (name, _) in enumerate(reversed(STATIC_TABLE))}
# What fills a slot without a field: index 0 of the static table, evicted entries, absent special fields.
NO_FIELD = make_field(b"", b"")
STATIC_FIELDS = [NO_FIELD, *(make_field(name, value) for name, value in STATIC_TABLE)]
