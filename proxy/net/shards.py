"""Listening on several sockets at one address, each for a part of those who call, told apart by where they come from.

The kernel's queue of a listening socket knows one order, that of arrival: a flood that fills it keeps all newcomers
out. With a queue for each part of the sources it keeps out those alone who share its part. Linux can do that
(SO_ATTACH_REUSEPORT_CBPF, socket(7)); elsewhere, and where several processes share the port, there is one socket.
"""

from __future__ import annotations

import socket
import struct
import sys
from array import array
from collections.abc import Callable

SHARDS = 16
_IS_LINUX = sys.platform.startswith("linux")
_ATTACH_REUSEPORT_CBPF = 51
# Of classic BPF (linux/filter.h): offsets from the start of the IP header, and the few instructions that it takes.
_NETWORK = 0xFFF0_0000
_LOAD_WORD, _COPY_TO_X, _XOR_X, _MODULO, _RETURN = 0x20, 0x07, 0xAC, 0x94, 0x16
_INSTRUCTION = struct.Struct("HBBI")
_PROGRAM = struct.Struct("HP")
_END = ((_MODULO, SHARDS), (_RETURN, 0))
# By the address of IPv4, and the /64 of IPv6's (RFC 6177).
_CODE = {
    socket.AF_INET: ((_LOAD_WORD, _NETWORK + 12), *_END),
    socket.AF_INET6: ((_LOAD_WORD, _NETWORK + 8), (_COPY_TO_X, 0), (_LOAD_WORD, _NETWORK + 12), (_XOR_X, 0), *_END),
}


def listen_in_shards(first: socket.socket, make: Callable[[], socket.socket], backlog: int) -> list[socket.socket]:
    """Listen on `first`, which is bound, and on others like it, which `make` makes; all of them, in the end one alone.

    OSError as of listen(2). A port that is in use stays an error: only who is bound already lets others share it, and
    the kernel takes of them those of the same user alone.
    """
    if _IS_LINUX:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    first.listen(backlog)
    sockets = [first]
    if not _IS_LINUX:
        return sockets
    try:
        _tell_apart(first)
        for _ in range(SHARDS - 1):
            sock = make()
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(first.getsockname())
            sock.listen(backlog)
    except OSError:
        # Whatever the kernel does not know, or a sandbox does not allow.
        for sock in sockets[1:]:
            sock.close()
        del sockets[1:]
    return sockets


def _tell_apart(sock: socket.socket) -> None:
    code = _CODE[sock.family]
    program = array("B", b"".join(_INSTRUCTION.pack(instruction, 0, 0, value) for instruction, value in code))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, _PROGRAM.pack(len(code), program.buffer_info()[0]))
