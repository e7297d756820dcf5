"""Heads of HTTP/1 requests as the relay sees them, each already made for the endpoint.

They are shared by all requests that began with the same bytes, so read-only but for the relay's slots in `block`. The
target decides the authority: an absolute-form target wins over Host (RFC 9112, section 3.2.2).
"""

from __future__ import annotations

from proxy.codec.h1_fault import BAD_REQUEST, URI_TOO_LONG, VERSION_NOT_SUPPORTED, MessageFault
from proxy.codec.h1_fields import IN_NAME, TOKEN, Fields, without
from proxy.codec.h1_head import CHUNKED, LENGTH, LINE_TOO_LONG, MAX_LINE_BYTES, NO_BODY, VERSIONS, check_bytes
from proxy.codec.headers import HeaderBlock

_HOST = frozenset((b"host",))
_IN_NAME = IN_NAME
_NO_BODY, _LENGTH, _CHUNKED = NO_BODY, LENGTH, CHUNKED
_MAX_LINE_BYTES = MAX_LINE_BYTES
_VERSION_BYTES = len(b" HTTP/1.1\r\n")
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
# By byte: whether it may be in a target, and in an authority.
_IN_TARGET = bytes(byte > 0x20 and byte != 0x7F for byte in range(256))
_AUTHORITY = b"-._~!$&'()*+;=:%[]0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_IN_AUTHORITY = bytes(byte in _AUTHORITY for byte in range(256))


class RequestHead:
    """`encoded` is the whole head for the endpoint. `framing` is NO_BODY, LENGTH or CHUNKED; `block` for the relay.

    `hostless`: of HTTP/1.0, without an authority. It goes on as such, for in HTTP/1.1 it would have to name one.
    """

    __slots__ = (
        "block",
        "close",
        "content_length",
        "encoded",
        "framing",
        "hostless",
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
    hostless: bool
    idempotent: bool
    is_connect: bool
    is_head: bool
    minor: int
    websocket: bool


def read_request(raw: bytes, max_bytes: int, max_fields: int) -> RequestHead:
    """Read a whole head, its empty line included."""
    if len(raw) > max_bytes:
        check_bytes(raw, max_bytes, max_fields)
    try:
        return parse_request(raw, max_fields)
    except MessageFault:
        # What is said of a head must not depend on how much of it had come when it was first looked at.
        check_bytes(raw, max_bytes, max_fields)
        raise


def parse_request(raw: bytes, max_fields: int) -> RequestHead:
    """The same, but of several faults it may find any."""
    p = raw
    space = skip(raw, 0, _IN_NAME)
    stop = skip(raw, space + 1, _IN_TARGET)
    after = stop + _VERSION_BYTES
    minor = read_version(raw, stop)
    if space == 0 or p[space] != 0x20 or stop == space + 1 or minor < 0 or after > _MAX_LINE_BYTES + 2:
        raise find_line_fault(raw)
    fields = Fields()
    fields.read(raw, after, len(raw) - 2, max_fields)
    if fields.chunked and minor == 0:
        raise MessageFault(BAD_REQUEST, "transfer-encoding in HTTP/1.0")
    method = p[:space]
    path = p[space + 1 : stop]
    authority = None
    head = make_head(method, minor, fields)
    if p[space + 1] != 0x2F or head.is_connect:
        authority, path = split_target(method, path)
    head.hostless = authority is None and fields.host is None
    head.block = make_route_block(method, choose_authority(authority, fields.host, minor), path)
    head.encoded = encode_request(head, raw, after, fields, authority is not None and not head.is_connect)
    return head


def skip(line: bytes, pos: int, allowed: bytes) -> int:
    """The first position from `pos` on whose byte is not allowed; the line's end is, for one."""
    p = line
    table = allowed
    while table[p[pos]]:
        pos += 1
    return pos


def make_head(method: bytes, minor: int, fields: Fields) -> RequestHead:
    """All but `block` and `encoded`."""
    head = RequestHead()
    head.minor = minor
    head.is_connect = method == b"CONNECT"
    head.is_head = method == b"HEAD"
    head.idempotent = (
        method == b"GET" or method in _IDEMPOTENT
    )  # most are, and to hash a method costs as much as the rest
    head.close = fields.close or (minor == 0 and not fields.keep_alive)
    head.framing = _CHUNKED if fields.chunked else _LENGTH if fields.content_length > 0 else _NO_BODY
    head.content_length = fields.content_length
    head.websocket = fields.wants_upgrade() and method == b"GET" and minor == 1 and head.framing == _NO_BODY
    return head


def read_version(raw: bytes, at: int) -> int:
    """The minor version at the end of the first line, a blank before it; -1 if that is anything else."""
    if raw.startswith(b" HTTP/1.1\r\n", at):
        return 1
    return 0 if raw.startswith(b" HTTP/1.0\r\n", at) else -1


def find_line_fault(raw: bytes) -> MessageFault:
    """What is wrong with the first line, which is not as it has to be."""
    line = raw[: raw.find(b"\r\n")]
    if len(line) > _MAX_LINE_BYTES:
        return MessageFault(URI_TOO_LONG, LINE_TOO_LONG)
    parts = line.split(b" ")
    if len(parts) != 3:
        return MessageFault(BAD_REQUEST, "request line is not of three parts")
    method, _, version = parts
    if not method or method.translate(None, TOKEN):
        return MessageFault(BAD_REQUEST, "method is no token")
    if version in VERSIONS:
        return MessageFault(BAD_REQUEST, "illegal request target")
    named = len(version) == 8 and version[:5] == b"HTTP/" and version[5:6].isdigit() and version[6:7] == b"."
    known = named and version[7:8].isdigit()
    return MessageFault(VERSION_NOT_SUPPORTED if known else BAD_REQUEST, "unknown version")


def split_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes]:
    """Authority, None where the target says none, and path, of a target that is no path (RFC 9112, section 3.2)."""
    if method == b"CONNECT":
        return target, b""
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
    if not is_authority(chosen) or (authority is not None and host and not is_authority(host)):
        raise MessageFault(BAD_REQUEST, "illegal character in the authority")
    return chosen


def is_authority(text: bytes) -> bool:
    """Whether all its characters may be in one."""
    p = text
    in_authority = _IN_AUTHORITY
    at = 0
    size = len(text)
    while at < size and in_authority[p[at]]:
        at += 1
    return at == size


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


def encode_request(head: RequestHead, raw: bytes, after: int, fields: Fields, is_absolute: bool) -> bytes:
    """The head for the endpoint, in HTTP/1.1 wherever it can be; the very same bytes where nothing is to be changed."""
    if head.hostless:
        return b"%b %b HTTP/1.0\r\n%bconnection: close\r\n\r\n" % (head.block.method, head.block.path, fields.kept())
    rewritten = is_absolute or head.minor == 0
    if not rewritten and not fields.altered:
        return raw
    block = head.block
    parts = [b"%b %b HTTP/1.1\r\n" % (block.method, block.path) if rewritten else raw[:after]]
    if is_absolute or fields.host is None:
        parts.append(b"host: %b\r\n" % block.authority)
        parts.append(without(fields.kept(), _HOST))
    else:
        parts.append(fields.kept())
    if head.framing == _CHUNKED:
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
