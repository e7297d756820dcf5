"""Regular expressions whose time is linear in the text, for paths that strangers send.

Python's `re` backtracks: `(a+)+b` against 40 characters takes minutes. Here a pattern becomes a position automaton
(Glushkov 1961) whose sets of positions are integers used as bit sets, and those become the states of an automaton that
is built while it is used. What an automaton cannot do is refused: back references, lookaround, anchors in the middle.
A pattern always matches the whole text, byte by byte; `\\d`, `\\s` and `\\w` are ASCII.
"""

from __future__ import annotations

MAX_PATTERN_CHARS = 1024
MAX_NESTING = 50
MAX_NODES = 300  # of one pattern, its counted repetitions written out
MAX_STATES = 2000  # of the automaton built while matching; beyond, it is built anew
MAX_TEXT_BYTES = 8192  # a longer text matches no pattern

ALL_BYTES = (1 << 256) - 1
SPECIAL = frozenset("\\.[]()|*+?{}^$")


class PatternError(Exception):
    """The pattern is none, or none that runs in linear time. The message says what and where."""


def byte_set(*ranges: str) -> int:
    """Make the set of the bytes in ranges such as `az`."""
    return sum((1 << ord(bounds[1]) + 1) - (1 << ord(bounds[0])) for bounds in ranges)


DIGITS = byte_set("09")
WORDS = byte_set("az", "AZ", "09", "__")
SPACES = byte_set("\t\r", "  ")
CLASSES = {
    "d": DIGITS, "D": ALL_BYTES ^ DIGITS,
    "w": WORDS, "W": ALL_BYTES ^ WORDS,
    "s": SPACES, "S": ALL_BYTES ^ SPACES,
}  # fmt: skip


class Node:
    """A piece of a pattern: a set of bytes, a sequence or choice of parts, or a repetition of one part."""

    __slots__ = ("bytes", "choice", "maximum", "minimum", "parts")

    def __init__(self, parts: list[Node], choice: bool = False, minimum: int = 1, maximum: int | None = 1) -> None:
        self.bytes = 0
        self.parts = parts
        self.choice = choice
        self.minimum = minimum
        self.maximum = maximum


class Parser:
    """Recursive descent over one pattern."""

    __slots__ = ("_at", "_depth", "_pattern")

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        self._take("^")
        node = self._choice()
        if self._peek() == ")":
            raise self._error("has no partner")
        if self._peek() == "$" and self._at < len(self._pattern) - 1:
            raise self._error("stands for itself only as \\$, or at the end")
        return node

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, expected: str) -> bool:
        if not self._pattern.startswith(expected, self._at):
            return False
        self._at += len(expected)
        return True

    def _error(self, problem: str) -> PatternError:
        return PatternError(f"at character {self._at + 1}: {self._peek() or 'the end'!r} {problem}")

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return Node(parts, choice=True) if len(parts) > 1 else parts[0]

    def _sequence(self) -> Node:
        parts = []
        while self._peek() not in ("", "|", ")", "$"):
            parts.append(self._repetition())
        return Node(parts) if len(parts) != 1 else parts[0]

    def _repetition(self) -> Node:
        node = self._atom()
        if self._take("*"):
            node = Node([node], minimum=0, maximum=None)
        elif self._take("+"):
            node = Node([node], maximum=None)
        elif self._take("?"):
            node = Node([node], minimum=0)
        elif self._take("{"):
            node = self._counted(node)
        else:
            return node
        self._take("?")  # lazy or greedy is the same to a match of the whole text
        if self._peek() in ("*", "+", "?", "{"):
            raise self._error("repeats a repetition")
        return node

    def _counted(self, node: Node) -> Node:
        end = self._pattern.find("}", self._at)
        low, comma, high = self._pattern[self._at : max(end, self._at)].partition(",")
        counts = [low, high] if high else [low]
        if not all(count.isascii() and count.isdigit() and len(count) <= 3 for count in counts):
            raise self._error("is no count: write {2}, {2,} or {2,5} with numbers below 1000, or \\{ for a brace")
        if high and int(high) < int(low):
            raise self._error("begins a count whose maximum is below its minimum")
        self._at = end + 1
        maximum = int(high) if high else None if comma else int(low)
        return Node([node], minimum=int(low), maximum=maximum)

    def _atom(self) -> Node:
        if self._take("("):
            return self._group()
        node = Node([])
        if self._take("["):
            node.bytes = self._class()
        elif self._take("."):
            node.bytes = ALL_BYTES
        elif self._peek() in SPECIAL and self._peek() != "\\":
            raise self._error("stands for itself only as \\" + self._peek())
        else:
            node.bytes = self._one()
        return node

    def _group(self) -> Node:
        if self._peek() == "?" and not self._take("?:"):
            raise self._error("begins an extension; of these, only (?:...) can be matched in linear time")
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._error(f"is more than {MAX_NESTING} parentheses deep")
        node = self._choice()
        self._depth -= 1
        if not self._take(")"):
            raise self._error("comes before a closing )")
        return node

    def _one(self) -> int:
        """Read a character, or an escape such as `\\d` or `\\.`, as the set of bytes that it stands for."""
        char = self._peek()
        if not char:
            raise self._error("comes before a closing ]")
        if not (" " <= char <= "~"):
            raise self._error("is not printable ASCII, which is all that a path holds (percent-encode the rest)")
        self._at += 1
        if char != "\\":
            return 1 << ord(char)
        escaped = self._peek()
        if escaped in CLASSES:
            self._at += 1
            return CLASSES[escaped]
        if not (" " <= escaped <= "~") or escaped.isalnum():
            raise self._error("cannot follow \\")
        self._at += 1
        return 1 << ord(escaped)

    def _class(self) -> int:
        """Read the inside of [...]."""
        negated = self._take("^")
        members = 0
        while members == 0 or self._peek() != "]":
            first = self._one()
            if self._peek() == "-" and not self._pattern.startswith("-]", self._at):
                self._at += 1
                first = self._range(first, self._one())
            members |= first
        if negated and members == ALL_BYTES:
            raise self._error("ends a class that no character is in")
        self._at += 1
        return ALL_BYTES ^ members if negated else members

    def _range(self, first: int, last: int) -> int:
        if first.bit_count() > 1 or last.bit_count() > 1 or last < first:
            raise self._error("follows a range that is none")
        return (last << 1) - first


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
            raise PatternError(f"is too large: with its repetitions written out, a pattern may have {MAX_NODES} pieces")
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
    """One pattern, ready to match."""

    __slots__ = ("_accepts", "_empty", "_first", "_follow", "_last", "_moves")

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_PATTERN_CHARS:
            raise PatternError(f"is longer than {MAX_PATTERN_CHARS} characters")
        automaton = Automaton()
        self._empty, self._first, self._last = automaton.add(Parser(pattern).parse())
        self._accepts = automaton.accepts
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
