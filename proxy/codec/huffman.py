"""The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B), in both directions.

The code is canonical, so the 257 code lengths say all of it. Decoding walks a state machine: compiled, four bits at a
time through flat tables; in plain Python a byte at a time through steps that are worked out when first needed.
Invariant: what is not exactly one valid string (the EOS symbol, padding over 7 bits or not all ones) is a fault.
"""

from __future__ import annotations

from proxy.codec.buffer import cut
from proxy.codec.errors import CompressionFault

EOS = 256
# fmt: off
LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
)
# fmt: on

# Flags of a step of the state machine; private, so that compiled they are C constants.
_EMITS = 1
_ENDS = 2
_FAILS = 4

_COMPILED = not __file__.endswith(".py")


def assign_codes() -> list[tuple[int, int]]:
    """(code, length) by symbol: canonical, so codes count upwards by length, then symbol."""
    codes = [(0, 0)] * len(LENGTHS)
    code = length = 0
    for bits, symbol in sorted((bits, symbol) for symbol, bits in enumerate(LENGTHS)):
        code <<= bits - length
        length = bits
        codes[symbol] = (code, length)
        code += 1
    return codes


def grow_tree(codes: list[tuple[int, int]]) -> list[list[int]]:
    """The code as a binary tree: an entry is an inner node or, negative, `-1 - symbol`; node 0 is the root."""
    nodes = [[0, 0]]
    for symbol, (code, length) in enumerate(codes):
        node = 0
        for shift in range(length - 1, 0, -1):
            bit = code >> shift & 1
            if nodes[node][bit] == 0:
                nodes.append([0, 0])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        nodes[node][code & 1] = -1 - symbol
    return nodes


def find_padding(nodes: list[list[int]]) -> set[int]:
    """The nodes where a string may end: the root and up to 7 ones below it."""
    node = 0
    padding = {node}
    for _ in range(7):
        node = nodes[node][1]
        padding.add(node)
    return padding


def walk_nibble(nodes: list[list[int]], node: int, nibble: int) -> tuple[int, int, int]:
    """(next node, symbol or 0, flags) after four bits; the shortest code has five, so at most one symbol comes out."""
    symbol = flags = 0
    for shift in (3, 2, 1, 0):
        node = nodes[node][nibble >> shift & 1]
        if node == -1 - EOS:
            return 0, 0, _FAILS
        if node < 0:
            symbol, flags, node = -1 - node, _EMITS, 0
    return node, symbol, flags


def build_tables() -> tuple[bytes, bytes, bytes]:
    """Next state, symbol, flags by `state * 16 + nibble`; 257 symbols make 256 inner nodes, so a state fits a byte."""
    nodes = grow_tree(assign_codes())
    padding = find_padding(nodes)
    steps = [walk_nibble(nodes, node, nibble) for node in range(len(nodes)) for nibble in range(16)]
    flags = [step[2] | (_ENDS if step[0] in padding and step[2] != _FAILS else 0) for step in steps]
    return bytes(step[0] for step in steps), bytes(step[1] for step in steps), bytes(flags)


_NEXT, _SYMBOL, _FLAGS = build_tables()
_BITS = [f"{code:0{length}b}" for code, length in assign_codes()]
# Decoding never re-enters, so one buffer serves all; a text that could outgrow it gets its own.
_SCRATCH = bytearray(16_384)


class _Row(dict[int, "tuple[_Row, bytes]"]):
    """One state of the byte-wise machine: byte -> (next row, decoded bytes), filled in as bytes are first met."""

    __slots__ = ("ends", "state")

    def __init__(self, state: int, ends: bool) -> None:
        self.state = state
        self.ends = ends

    def __missing__(self, byte: int) -> tuple[_Row, bytes]:
        state = self.state
        piece = b""
        flags = 0
        for nibble in (byte >> 4, byte & 15):
            step = state * 16 + nibble
            flags = _FLAGS[step]
            if flags & _FAILS:
                raise CompressionFault("EOS symbol in a Huffman string")
            if flags & _EMITS:
                piece += _SYMBOL[step : step + 1]
            state = _NEXT[step]
        entry = self[byte] = (_find_row(state, flags & _ENDS != 0), piece)
        return entry


_ROWS: dict[tuple[int, bool], _Row] = {}


def _find_row(state: int, ends: bool) -> _Row:
    row = _ROWS.get((state, ends))
    if row is None:
        row = _ROWS[state, ends] = _Row(state, ends)
    return row


_ROOT = _find_row(0, True)


def decode_huffman(block: bytes, at: int, end: int) -> bytes:
    """The string that `block[at:end]` encodes; CompressionFault if it is not exactly one."""
    if at < 0 or end < at or end > len(block):
        raise CompressionFault("Huffman string outside of the block")
    if _COMPILED:
        return decode_by_nibble(block, at, end)
    return decode_by_byte(block, at, end)


def decode_by_byte(block: bytes, at: int, end: int) -> bytes:
    """The decoder for plain Python, where every operation costs more than a look-up."""
    row = _ROOT
    pieces: list[bytes] = []
    for byte in block[at:end]:
        row, piece = row[byte]
        pieces.append(piece)
    if not row.ends:
        raise CompressionFault("bad padding of a Huffman string")
    return b"".join(pieces)


def decode_by_nibble(block: bytes, at: int, end: int) -> bytes:
    """The decoder for C, where the tables stay in the cache. Every step writes a symbol: a branch would mispredict.

    The caller has checked the bounds. At most two symbols a byte come out, and one is written that may not count.
    """
    out = _SCRATCH
    if (end - at) * 2 >= len(out):
        out = bytearray((end - at) * 2 + 1)
    p = block
    q = out
    follow, emit, flag = _NEXT, _SYMBOL, _FLAGS
    step = state = size = failed = 0
    flags = _ENDS
    while at < end:
        step = state << 4 | p[at] >> 4
        flags = flag[step]
        failed |= flags
        q[size] = emit[step]
        size += flags & _EMITS
        step = follow[step] << 4 | p[at] & 15
        flags = flag[step]
        failed |= flags
        q[size] = emit[step]
        size += flags & _EMITS
        state = follow[step]
        at += 1
    if failed & _FAILS:
        raise CompressionFault("EOS symbol in a Huffman string")
    if not flags & _ENDS:
        raise CompressionFault("bad padding of a Huffman string")
    return cut(out, 0, size)


def encode_huffman(text: bytes) -> bytes:
    """The Huffman form of `text`, padded with ones."""
    bits = "".join([_BITS[byte] for byte in text])
    padding = -len(bits) % 8
    if not bits:
        return b""
    return int(bits + "1" * padding, 2).to_bytes((len(bits) + padding) // 8, "big")
