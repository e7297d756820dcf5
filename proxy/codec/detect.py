"""What a connection speaks, told from its first bytes alone (DESIGN 3.5): HTTP/2, HTTP/1, TLS, or what we do not know.

Strict: what is not exactly the HTTP/2 preface (RFC 9113, section 3.4), a request line of HTTP/1 (RFC 9112, section 3)
or a TLS ClientHello is opaque. Bounded: at most `MAX_BYTES` are ever asked for.

Invariants: the verdict depends on the bytes alone, not on how they came in pieces; one that is not MORE stays.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.codec import tls_hello
from proxy.codec.tls_hello import Hello, read_hello

# Plain ints, see DESIGN 3.1.
MORE = 0
HTTP2 = 1
HTTP1 = 2
TLS = 3
OPAQUE = 4
NAMES = ("unknown", "http2", "http1", "tls", "opaque")

# As much as it may take to be sure.
MAX_BYTES = tls_hello.MAX_BYTES

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_TOKEN = bytes(byte for byte in range(0x21, 0x7F) if byte not in b'"(),/:;<=>?@[\\]{}')
_TARGET = bytes(byte for byte in range(0x21, 0x100) if byte != 0x7F)
_VERSION = b" HTTP/1."
_MAX_METHOD_BYTES = 32
# A token, a space and this much of a target: whoever parses HTTP/1 may say that it is too long. More would let a client
# that sends byte by byte have it all looked at again and again.
_MAX_LINE_BYTES = 2_048


class Verdict(NamedTuple):
    """`needed` is the least number of bytes that can tell more; `hello` goes with TLS."""

    kind: int
    needed: int = 0
    hello: Hello | None = None


_HTTP2 = Verdict(HTTP2)
_HTTP1 = Verdict(HTTP1)
_OPAQUE = Verdict(OPAQUE)


def detect(data: bytes) -> Verdict:
    """Judge all that a connection has sent so far."""
    if data[: len(_PREFACE)] == _PREFACE:
        return _HTTP2
    if _PREFACE.startswith(data):
        return Verdict(MORE, len(data) + 1)
    if data[0] == 22:
        return _detect_tls(data)
    return _detect_request_line(data)


def _detect_tls(data: bytes) -> Verdict:
    found = read_hello(data)
    if found is None:
        return _OPAQUE
    if isinstance(found, int):
        return Verdict(MORE, found)
    return Verdict(TLS, 0, found)


def _detect_request_line(data: bytes) -> Verdict:
    """`method SP target SP HTTP/1.digit`, or what may become that."""
    line = data[:_MAX_LINE_BYTES]
    after_method = line.lstrip(_TOKEN)
    size = len(line) - len(after_method)
    if not 0 < size <= _MAX_METHOD_BYTES or after_method[:1] not in (b"", b" "):
        return _OPAQUE
    target = after_method[1:]
    version = target.lstrip(_TARGET)
    if len(version) == len(target) and version:
        return _OPAQUE  # no target
    return _detect_version(version, len(line))


def is_for_proxy(data: bytes) -> bool:
    """Whether a request line, as far as it was needed to know it for HTTP/1, is for a proxy that the client knows of.

    CONNECT, and the absolute form in any scheme (RFC 9112, section 3.2): all but a path and `*`.
    """
    method, _, target = data[:_MAX_LINE_BYTES].partition(b" ")
    return method == b"CONNECT" or target[:1] not in (b"/", b"*")


def _detect_version(version: bytes, size: int) -> Verdict:
    """`version` is all after the target, at the end of `size` bytes."""
    if version[: len(_VERSION)] == _VERSION and version[len(_VERSION) : len(_VERSION) + 1].isdigit():
        return _HTTP1
    if not _VERSION.startswith(version):
        return _OPAQUE
    return _HTTP1 if size == _MAX_LINE_BYTES else Verdict(MORE, size + 1)
