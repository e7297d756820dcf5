"""Heads of HTTP/1 requests as the relay sees them, each already made for the endpoint.

They are shared by all requests that began with the same bytes, so read-only but for the relay's slots in `block`. The
target decides the authority: an absolute-form target wins over Host (RFC 9112, section 3.2.2).
"""

from __future__ import annotations

from proxy.codec.h1_fault import BAD_REQUEST, URI_TOO_LONG, VERSION_NOT_SUPPORTED, MessageFault
from proxy.codec.h1_fields import TOKEN, Fields, without
from proxy.codec.h1_head import CHUNKED, LENGTH, LINE_TOO_LONG, MAX_LINE_BYTES, NO_BODY, VERSIONS, check_bytes
from proxy.codec.headers import HeaderBlock

_HOST = frozenset((b"host",))
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
_VISIBLE = bytes(byte for byte in range(0x21, 256) if byte != 0x7F)
_AUTHORITY = b"-._~!$&'()*+;=:%[]0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class RequestHead:
    """`encoded` is the whole head for the endpoint. `framing` is NO_BODY, LENGTH or CHUNKED; `block` for the relay."""

    __slots__ = (
        "block",
        "close",
        "content_length",
        "encoded",
        "framing",
        "idempotent",
        "is_connect",
        "is_head",
        "minor",
        "websocket",
    )

    block: HeaderBlock
    close: bool
    content_length: int
    encoded: bytes
    framing: int
    idempotent: bool
    is_connect: bool
    is_head: bool
    minor: int
    websocket: bool


def read_request(raw: bytes, max_bytes: int, max_fields: int) -> RequestHead:
    """Read a whole head, its empty line included."""
    if len(raw) > max_bytes:
        check_bytes(raw, max_bytes)
    try:
        return parse_request(raw, max_fields)
    except MessageFault:
        # What is said of a head must not depend on how much of it had come when it was first looked at.
        check_bytes(raw, max_bytes)
        raise


def parse_request(raw: bytes, max_fields: int) -> RequestHead:
    """The same, but of several faults it may find any."""
    after = raw.find(b"\r\n") + 2
    first = raw[: after - 2]
    if after > MAX_LINE_BYTES + 2:
        raise MessageFault(URI_TOO_LONG, LINE_TOO_LONG)
    method, target, minor = read_request_line(first)
    fields = Fields()
    fields.read(raw, after, len(raw) - 2, max_fields)
    if fields.chunked and minor == 0:
        raise MessageFault(BAD_REQUEST, "transfer-encoding in HTTP/1.0")
    head = RequestHead()
    head.minor = minor
    head.is_connect = method == b"CONNECT"
    head.is_head = method == b"HEAD"
    head.idempotent = method in _IDEMPOTENT
    head.close = fields.close or (minor == 0 and not fields.keep_alive)
    head.framing = CHUNKED if fields.chunked else LENGTH if fields.content_length > 0 else NO_BODY
    head.content_length = fields.content_length
    head.websocket = fields.wants_upgrade() and method == b"GET" and minor == 1 and head.framing == NO_BODY
    authority, path = split_target(method, target)
    head.block = make_route_block(method, choose_authority(authority, fields.host, minor), path)
    head.encoded = encode_request(head, raw, first, fields, authority is not None and not head.is_connect)
    return head


def read_request_line(line: bytes) -> tuple[bytes, bytes, int]:
    """Method, target and minor version."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise MessageFault(BAD_REQUEST, "request line is not of three parts")
    method, target, version = parts
    if not method or method.translate(None, TOKEN):
        raise MessageFault(BAD_REQUEST, "method is no token")
    if version not in VERSIONS:
        named = len(version) == 8 and version[:5] == b"HTTP/" and version[5:6].isdigit() and version[6:7] == b"."
        known = named and version[7:8].isdigit()
        raise MessageFault(VERSION_NOT_SUPPORTED if known else BAD_REQUEST, "unknown version")
    if not target or target.translate(None, _VISIBLE):
        raise MessageFault(BAD_REQUEST, "illegal request target")
    return method, target, VERSIONS[version]


def split_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes]:
    """Authority, None where the target says none, and path (RFC 9112, section 3.2)."""
    if method == b"CONNECT":
        return target, b""
    if target[:1] == b"/":
        return None, target
    if target == b"*" and method == b"OPTIONS":
        return None, target
    if target[:7].lower() != b"http://":
        raise MessageFault(BAD_REQUEST, "illegal request target")
    rest = target[7:]
    at = min([found for found in (rest.find(b"/"), rest.find(b"?")) if found >= 0], default=len(rest))
    path = rest[at:]
    if not path:
        path = b"*" if method == b"OPTIONS" else b"/"
    elif path[:1] == b"?":
        path = b"/" + path
    return rest[:at], path


def choose_authority(authority: bytes | None, host: bytes | None, minor: int) -> bytes:
    """The target's, or Host's; several Hosts have been refused."""
    if host is None and minor == 1:
        raise MessageFault(BAD_REQUEST, "no host field")
    if authority == b"":
        raise MessageFault(BAD_REQUEST, "illegal request target")
    chosen = authority if authority is not None else host or b""
    if chosen.translate(None, _AUTHORITY) or (host and host.translate(None, _AUTHORITY)):
        raise MessageFault(BAD_REQUEST, "illegal character in the authority")
    return chosen


def make_route_block(method: bytes, authority: bytes, path: bytes) -> HeaderBlock:
    """What the relay decides by, and where it keeps its decision."""
    block = HeaderBlock()
    block.method = method
    block.authority = authority
    block.path = path
    block.grpc = False
    block.decision = None
    block.epoch = -1
    return block


def encode_request(head: RequestHead, raw: bytes, first: bytes, fields: Fields, is_absolute: bool) -> bytes:
    """The head for the endpoint, always in HTTP/1.1; the very same bytes where nothing is to be changed."""
    rewritten = is_absolute or head.minor == 0
    if not rewritten and not fields.altered:
        return raw
    block = head.block
    parts = [b"%b %b HTTP/1.1\r\n" % (block.method, block.path) if rewritten else first + b"\r\n"]
    if is_absolute or fields.host is None:
        parts.append(b"host: %b\r\n" % block.authority)
        parts.append(without(fields.kept(), _HOST))
    else:
        parts += fields.parts
    if head.framing == CHUNKED:
        parts.append(b"transfer-encoding: chunked\r\n")
    if fields.te_trailers:
        parts.append(b"te: trailers\r\n")
    if head.websocket:
        parts.append(b"upgrade: websocket\r\n")
        parts.append(b"connection: te, upgrade\r\n" if fields.te_trailers else b"connection: upgrade\r\n")
    elif fields.te_trailers:
        parts.append(b"connection: te\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)
