"""What a client sees when the proxy itself ends a request: the one table (DESIGN 3.4), and its encoding.

gRPC requests get a trailers-only response, others a status and a short text; all carry `gossamer-error` with the
reason, which is the metric's label too.
"""

from __future__ import annotations

from proxy.codec.fields import encode_field

ERROR_HEADER = b"gossamer-error"
_MAX_DETAIL = 200


class Failure:
    """One row: `reason` for header and metric, `http_status`, `grpc_status`, and `text` for a person."""

    __slots__ = ("grpc_status", "http_status", "reason", "text")

    def __init__(self, reason: str, http_status: int, grpc_status: int, text: str) -> None:
        self.reason = reason
        self.http_status = http_status
        self.grpc_status = grpc_status
        self.text = text


NO_ENDPOINT = Failure("no-endpoint", 503, 14, "no endpoint is ready")
WRONG_PROTOCOL = Failure("wrong-protocol", 502, 14, "no endpoint speaks HTTP/2 without TLS")
UPSTREAM_LOST = Failure("upstream-lost", 502, 14, "the connection to the endpoint was lost before it answered")
UPSTREAM_FAULT = Failure("upstream-fault", 502, 14, "the endpoint broke the HTTP/2 protocol")
TIMEOUT = Failure("timeout", 504, 4, "the route's timeout passed")
STALLED = Failure(
    "request-stalled", 408, 14, "the rest of the request did not come, and others waited for the endpoint"
)
OVERLOAD = Failure("overload", 503, 14, "too many requests wait for an endpoint")
NO_ROUTE = Failure("no-route", 404, 12, "no route matches the request's authority and path")
UNKNOWN_DESTINATION = Failure("unknown-destination", 404, 12, "the destination is not known")
NO_CONTROL_PLANE = Failure("no-control-plane", 503, 14, "the control plane has not said where this destination is")
HEADERS_TOO_LARGE = Failure("headers-too-large", 431, 8, "the request's headers exceed the limit")
RESPONSE_HEADERS_TOO_LARGE = Failure(
    "response-headers-too-large", 502, 8, "the response's headers exceed what the client accepts"
)

# HTTP/1 only, where a message is read by its letters (proxy/codec/h1_fault.py).
BAD_REQUEST = Failure("bad-request", 400, 13, "the request breaks the HTTP/1 protocol")
METHOD_NOT_ALLOWED = Failure("method-not-allowed", 405, 12, "CONNECT is not served, since a tunnel bypasses all routes")
REQUEST_TIMEOUT = Failure("request-timeout", 408, 4, "the request's head did not come in time")
URI_TOO_LONG = Failure("uri-too-long", 414, 8, "the request's first line exceeds the limit")
NOT_IMPLEMENTED = Failure("not-implemented", 501, 12, "no transfer coding but chunked is served")
VERSION_NOT_SUPPORTED = Failure("version-not-supported", 505, 12, "this is neither HTTP/1.0 nor HTTP/1.1")
BAD_RESPONSE = Failure("bad-response", 502, 14, "the endpoint broke the HTTP/1 protocol")
CONNECT_FAILED = Failure("connect-failed", 502, 14, "no endpoint takes connections")
LOOP = Failure("loop", 508, 10, "nobody led this connection here, so its only known destination is where it came in")

FAILURES = (
    NO_ENDPOINT,
    WRONG_PROTOCOL,
    UPSTREAM_LOST,
    UPSTREAM_FAULT,
    TIMEOUT,
    STALLED,
    OVERLOAD,
    NO_ROUTE,
    UNKNOWN_DESTINATION,
    NO_CONTROL_PLANE,
    HEADERS_TOO_LARGE,
    RESPONSE_HEADERS_TOO_LARGE,
    BAD_REQUEST,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    URI_TOO_LONG,
    NOT_IMPLEMENTED,
    VERSION_NOT_SUPPORTED,
    BAD_RESPONSE,
    CONNECT_FAILED,
    LOOP,
)

# gRPC's statuses that count as failures for the success rate: UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, INTERNAL,
# UNAVAILABLE, DATA_LOSS.
GRPC_FAILURES = frozenset((2, 4, 7, 13, 14, 15))
GRPC_UNAVAILABLE = 14
GRPC_RESOURCE_EXHAUSTED = 8
HTTP_TOO_MANY_REQUESTS = 429
HTTP_FAULTS = frozenset((502, 503, 504))
# https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md; anything else is UNKNOWN.
_GRPC_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


def grpc_status_of_http(status: int) -> int:
    """What a gRPC client makes of a response without grpc-status."""
    return _GRPC_OF_HTTP.get(status, 2)


def describe(failure: Failure, detail: str) -> str:
    """The text for a person; `detail` may come from the network, so it is cut short."""
    return f"gossamer: {failure.text}: {detail[:_MAX_DETAIL]}" if detail else f"gossamer: {failure.text}"


def encode_message(text: str) -> bytes:
    """Percent-encode a grpc-message (gRPC over HTTP/2): all but printable ASCII, and the percent sign."""
    plain = [bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in text.encode()]
    return b"".join(plain)


def encode_grpc_trailers(failure: Failure, detail: str) -> bytes:
    return (
        encode_field(b"grpc-status", str(failure.grpc_status).encode())
        + encode_field(b"grpc-message", encode_message(describe(failure, detail)))
        + encode_field(ERROR_HEADER, failure.reason.encode())
    )


def encode_grpc_response(failure: Failure, detail: str) -> bytes:
    """A trailers-only response."""
    head = encode_field(b":status", b"200") + encode_field(b"content-type", b"application/grpc")
    return head + encode_grpc_trailers(failure, detail)


def encode_http_response(failure: Failure, detail: str) -> tuple[bytes, bytes]:
    """Header block and body."""
    body = (describe(failure, detail) + "\n").encode()
    block = (
        encode_field(b":status", str(failure.http_status).encode())
        + encode_field(b"content-type", b"text/plain; charset=utf-8")
        + encode_field(b"content-length", str(len(body)).encode())
        + encode_field(ERROR_HEADER, failure.reason.encode())
    )
    return block, body
