"""Faults of a peer, as the codec finds them; each carries the error code that goes on the wire (RFC 9113, section 5.4).

A connection fault ends in GOAWAY, a stream fault in RST_STREAM. Neither ever reaches the application as a traceback.
"""

from proxy.codec.constants import COMPRESSION_ERROR


class ConnectionFault(Exception):
    """The connection cannot go on: GOAWAY with `code`, then close. `reason` is for debug data and metric."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class CompressionFault(ConnectionFault):
    """A header block that does not decode: the HPACK state is lost, so the connection is (RFC 9113, section 4.3)."""

    def __init__(self, reason: str) -> None:
        super().__init__(COMPRESSION_ERROR, reason)


class Http1Spoken(Exception):
    """No fault: the client of a new connection speaks HTTP/1. Nothing was taken."""


class StreamFault(Exception):
    """One stream cannot go on: RST_STREAM with `code`; the connection and its other streams live."""

    def __init__(self, stream_id: int, code: int, reason: str) -> None:
        super().__init__(reason)
        self.stream_id = stream_id
        self.code = code
        self.reason = reason
