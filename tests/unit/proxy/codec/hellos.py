"""ClientHellos: real ones, made by OpenSSL, and some that are put together by hand."""

from __future__ import annotations

import ssl


def make_hello(server_name: str | None = "shop.example", protocols: tuple[str, ...] = ("h2", "http/1.1")) -> bytes:
    """The first bytes of a real TLS client."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def vector(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(data, 2)


def server_name(name: bytes) -> bytes:
    return extension(0, vector(b"\0" + vector(name, 2), 2))


def alpn(*names: bytes) -> bytes:
    return extension(16, vector(b"".join(vector(name, 1) for name in names), 2))


def body(*extensions: bytes, version: bytes = b"\3\3", suites: bytes = b"\x13\x01", session: bytes = b"") -> bytes:
    head = version + bytes(32) + vector(session, 1) + vector(suites, 2) + vector(b"\0", 1)
    return head + (vector(b"".join(extensions), 2) if extensions else b"")


def handshake(content: bytes, kind: int = 1) -> bytes:
    return bytes([kind]) + vector(content, 3)


def records(message: bytes, *sizes: int) -> bytes:
    """Cut a handshake message into records of these sizes; the last takes the rest."""
    out = b""
    for size in sizes:
        out += b"\x16\3\1" + vector(message[:size], 2)
        message = message[size:]
    return out + (b"\x16\3\1" + vector(message, 2) if message else b"")
