"""Our own answers in HTTP/1: rows of the failure table, encoded."""

from __future__ import annotations

from http import HTTPStatus

from proxy.codec.h1_fields import REFUSED
from proxy.relay.failure import (
    BAD_REQUEST,
    ERROR_HEADER,
    HEADERS_TOO_LARGE,
    NOT_IMPLEMENTED,
    URI_TOO_LONG,
    VERSION_NOT_SUPPORTED,
    Failure,
    describe,
)

_OF_STATUS = {
    failure.http_status: failure
    for failure in (BAD_REQUEST, URI_TOO_LONG, HEADERS_TOO_LARGE, NOT_IMPLEMENTED, VERSION_NOT_SUPPORTED)
}


def failure_of_status(status: int) -> Failure:
    """The row for a fault that the codec found in a request."""
    return _OF_STATUS.get(status, BAD_REQUEST)


def encode_answer(failure: Failure, detail: str, is_head: bool, minor: int, keep: bool, refused: bool = False) -> bytes:
    """A whole response. The detail may come from the network: what is not printable is escaped.

    `refused`: no application has seen the request, so the caller may send it elsewhere.
    """
    body = describe(failure, detail).encode("ascii", "backslashreplace") + b"\n"
    status = failure.http_status
    lines = [
        b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode()),
        b"content-type: text/plain; charset=utf-8",
        b"content-length: %d" % len(body),
        ERROR_HEADER + b": " + failure.reason.encode(),
    ]
    if refused:
        lines.append(b"connection: close, " + REFUSED)
    elif not keep:
        lines.append(b"connection: close")
    elif not minor:
        lines.append(b"connection: keep-alive")
    return b"\r\n".join([*lines, b"", b"" if is_head else body])
