"""The syntax of regular expressions, as far as an automaton can match them: a pattern becomes a tree of nodes.

That is Python's and RE2's common part without back references, lookaround, and anchors in the middle. Each refusal says
where it is and what to write instead.
"""

from __future__ import annotations

MAX_PATTERN_CHARS = 1024
MAX_NESTING = 50

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
        if len(self._pattern) > MAX_PATTERN_CHARS:
            raise PatternError(f"it is longer than {MAX_PATTERN_CHARS} characters")
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
