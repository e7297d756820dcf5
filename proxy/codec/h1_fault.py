"""What is wrong with an HTTP/1 message, as the codec finds it: the status to answer, and a few words for the metric.

A request that has a fault is answered and its connection closed, since where the next one begins is no longer certain
(RFC 9112, section 2.2 and 6.3); a response that has one makes its connection useless.
"""

from __future__ import annotations

BAD_REQUEST = 400
URI_TOO_LONG = 414
FIELDS_TOO_LARGE = 431
NOT_IMPLEMENTED = 501
VERSION_NOT_SUPPORTED = 505


class MessageFault(Exception):
    """`status` is for the client; a response's fault is 502 to it, whatever the number here. `reason` is a metric's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
