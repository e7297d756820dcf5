"""The errors that end the start of a proxy; whoever runs it reads their text, so it says what to do about it."""

from __future__ import annotations

import errno
import os
import socket

_ADVICE = {
    errno.EADDRINUSE: "choose another port, or end what uses it",
    errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose one that it has",
}


class ConfigError(Exception):
    """The configuration cannot be used. The message is complete: print it and exit with 2 (a reload keeps the old)."""


class ListenError(Exception):
    """An address cannot be listened on. The message is complete: print it and exit with 1."""

    def __init__(self, address: str, error: OSError) -> None:
        if isinstance(error, socket.gaierror):
            reason, advice = "the name does not resolve", "give an IP address"
        else:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            advice = _ADVICE.get(error.errno or 0, "choose another address")
        super().__init__(f"cannot listen on {address}: {reason}; {advice}")
