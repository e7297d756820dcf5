"""Regular expressions whose time is linear in the text, for paths that strangers send.

Python's `re` backtracks: `(a+)+b` against 40 characters takes minutes. Here a pattern becomes a position automaton
(Glushkov 1961) whose sets of positions are integers used as bit sets, and those become the states of an automaton that
is built while it is used. `route.pattern` refuses what an automaton cannot do.
A pattern always matches the whole text, byte by byte; `\\d`, `\\s` and `\\w` are ASCII.
"""

from __future__ import annotations

from functools import lru_cache

from proxy.route.pattern import Node, Parser, PatternError

MAX_NODES = 300  # of one pattern, its counted repetitions written out
MAX_STATES = 2000  # of the automaton built while matching; beyond, it is built anew
MAX_TEXT_BYTES = 8192  # a longer text matches no pattern


class Automaton:
    """The positions of a pattern: which bytes each one takes, and which may follow it. Sets are integers."""

    __slots__ = ("_nodes", "accepts", "follow")

    def __init__(self) -> None:
        self.accepts: list[int] = []
        self.follow: list[int] = []
        self._nodes = 0

    def add(self, node: Node) -> tuple[bool, int, int]:
        """Add a node; return whether it matches nothing too, and its first and last positions."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise PatternError(
                f"it is too large: with its repetitions written out, a pattern may have {MAX_NODES} pieces"
            )
        if node.bytes:
            self.accepts.append(node.bytes)
            self.follow.append(0)
            position = 1 << len(self.accepts) - 1
            return False, position, position
        if node.choice:
            return self._add_choice(node)
        if (node.minimum, node.maximum) == (1, 1):
            return self._add_sequence(node.parts)
        return self._add_repetition(node)

    def _add_choice(self, node: Node) -> tuple[bool, int, int]:
        optional, first, last = False, 0, 0
        for part in node.parts:
            fragment = self.add(part)
            optional, first, last = optional or fragment[0], first | fragment[1], last | fragment[2]
        return optional, first, last

    def _add_sequence(self, parts: list[Node]) -> tuple[bool, int, int]:
        whole = (True, 0, 0)
        for part in parts:
            whole = self._join(whole, self.add(part))
        return whole

    def _add_repetition(self, node: Node) -> tuple[bool, int, int]:
        part = node.parts[0]
        whole = self._add_sequence([part] * node.minimum)
        if node.maximum is None:
            _, first, last = self.add(part)
            self._link(last, first)
            return self._join(whole, (True, first, last))
        for _ in range(node.maximum - node.minimum):
            _, first, last = self.add(part)
            whole = self._join(whole, (True, first, last))
        return whole

    def _join(self, left: tuple[bool, int, int], right: tuple[bool, int, int]) -> tuple[bool, int, int]:
        self._link(left[2], right[1])
        first = left[1] | right[1] if left[0] else left[1]
        last = right[2] | left[2] if right[0] else right[2]
        return left[0] and right[0], first, last

    def _link(self, last: int, first: int) -> None:
        for position in positions(last):
            self.follow[position] |= first


def positions(members: int) -> list[int]:
    """List the members of a bit set."""
    found = []
    while members:
        lowest = members & -members
        found.append(lowest.bit_length() - 1)
        members ^= lowest
    return found


class Regex:
    """One pattern, ready to match; `size` is how many bytes of a text it looks at, all repetitions written out."""

    __slots__ = ("_accepts", "_empty", "_first", "_follow", "_last", "_moves", "size")

    def __init__(self, pattern: str) -> None:
        automaton = Automaton()
        self._empty, self._first, self._last = automaton.add(Parser(pattern).parse())
        self._accepts = automaton.accepts
        self.size = len(automaton.accepts)
        self._follow = automaton.follow
        self._moves: dict[int, dict[int, int]] = {}  # by what may come next, then by byte: the positions then reached

    def matches(self, text: bytes) -> bool:
        """Tell whether the pattern matches all of `text`."""
        if len(text) > MAX_TEXT_BYTES:
            return False
        reached = -1
        for byte in text:
            moves = self._moves.get(reached)
            if moves is None:
                if len(self._moves) >= MAX_STATES:
                    self._moves.clear()
                moves = self._moves[reached] = {}
            following = moves.get(byte)
            if following is None:
                following = moves[byte] = self._step(reached, byte)
            if not following:
                return False
            reached = following
        return self._empty if reached == -1 else reached & self._last != 0

    def _step(self, reached: int, byte: int) -> int:
        candidates = 0
        if reached == -1:
            candidates = self._first
        else:
            for position in positions(reached):
                candidates |= self._follow[position]
        return sum(1 << position for position in positions(candidates) if self._accepts[position] >> byte & 1)


@lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> Regex:
    """Whoever checks a pattern and whoever matches with it share the work."""
    return Regex(pattern)
