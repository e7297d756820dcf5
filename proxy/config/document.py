"""A YAML text as values that know where they stand, so that every error can name a line and a field.

Built from the parser's events, never from its objects: nothing is constructed, tagged, or expanded, values stay the
text that the user wrote (`yes`, `010` and `1:30` mean themselves), and depth and size are bounded before anything
recurses (the C parser's own composer overflows the stack on 100,000 brackets). `yaml` is imported here, and only when
there is a file to read: it costs 1.2 MB, which a proxy without one does not pay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

MAX_DEPTH = 32
MAX_PROBLEMS = 20
MAX_TEXT_CHARS = 1024
MAX_KEY_CHARS = 256


class Step(NamedTuple):
    """One step of the way from the document to a value: a key such as `.name`, or an index such as `[0]`.

    The way is written out only where there is a problem: as texts, those of a hostile file take gigabytes.
    """

    before: Step | None
    text: str

    def __str__(self) -> str:
        texts = []
        step: Step | None = self
        while step is not None:
            texts.append(step.text)
            step = step.before
        return "".join(reversed(texts)).removeprefix(".")


class Value:
    """A scalar, with its text; a sequence, with its items; or a mapping, with its keys and values."""

    __slots__ = ("column", "entries", "is_null", "items", "line", "step", "text")

    def __init__(self, step: Step | None, line: int, column: int) -> None:
        self.step = step
        self.line = line
        self.column = column
        self.text: str | None = None
        self.is_null = False
        self.items: list[Value] | None = None
        self.entries: dict[str, Value] | None = None

    @property
    def path(self) -> str:
        return str(self.step) if self.step is not None else ""

    @property
    def is_empty(self) -> bool:
        """Nothing is written there, as in a file of comments alone."""
        return self.is_null and not self.text

    @property
    def kind(self) -> str:
        if self.is_null:
            return "nothing"
        if self.items is not None:
            return "a list"
        return "a mapping" if self.entries is not None else f"'{self.text}'"


class Problems:
    """What is wrong with one document, each with its place. Collected, so that a user sees all of it at once."""

    __slots__ = ("_source", "count", "shown")

    def __init__(self, source: str) -> None:
        self._source = source
        self.count = 0
        self.shown: list[str] = []

    def add(self, value: Value, problem: str) -> None:
        self.count += 1
        if self.count <= MAX_PROBLEMS:
            place = f"{self._source}:{value.line}:{value.column}"
            self.shown.append(printable(f"{place}: {value.path}: {problem}" if value.path else f"{place}: {problem}"))

    def __str__(self) -> str:
        if self.count > MAX_PROBLEMS:
            return "\n".join([*self.shown, f"{self._source}: and {self.count - MAX_PROBLEMS} more"])
        return "\n".join(self.shown)


def printable(text: str) -> str:
    """Escape what would move a terminal's cursor, or end the line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class SyntaxProblem(Exception):
    """The text is no YAML of the kind that is read here; `place` has the line and column."""

    def __init__(self, place: Value, problem: str) -> None:
        super().__init__(problem)
        self.place = place


def read_document(text: str, problems: Problems) -> Value | None:
    """Read the one document in `text`; None, and a problem, if there is no such thing. A text without any is null."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return Builder(yaml.parse(text, Loader=loader), problems).build()
    except SyntaxProblem as error:
        problems.add(error.place, str(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        problems.add(Value(None, line, column), f"a configuration holds no character U+{error.character:04X}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Value(None, mark.line + 1, mark.column + 1) if mark else Value(None, 1, 1)
        context = f" {error.context}" if error.context else ""
        if "\t" in find_indent(text, place.line):
            problems.add(place, "a tab in the indentation: YAML indents with spaces, so replace it by two of them")
        else:
            problems.add(place, f"no valid YAML{context}: {error.problem or error}")
    return None


def find_indent(text: str, line: int) -> str:
    """The blanks that a line, counted from 1, begins with."""
    lines = text.split("\n", line)
    found = lines[line - 1] if line <= len(lines) else ""
    return found[: len(found) - len(found.lstrip(" \t-"))]


class Builder:
    """Turns parser events into values."""

    __slots__ = ("_events", "_problems")

    def __init__(self, events: Iterator[Any], problems: Problems) -> None:
        self._events = events
        self._problems = problems

    def build(self) -> Value:
        next(self._events)  # the start of the stream
        event = next(self._events)
        if type(event).__name__ == "StreamEndEvent":
            empty = Value(None, 1, 1)
            empty.is_null = True
            return empty
        root = self._value(next(self._events), None, 0)
        next(self._events)  # the end of the document
        event = next(self._events)
        if type(event).__name__ != "StreamEndEvent":
            raise SyntaxProblem(self._place(event, None), "a second document begins; a configuration is a single one")
        return root

    def _place(self, event: Any, step: Step | None) -> Value:
        return Value(step, event.start_mark.line + 1, event.start_mark.column + 1)

    def _value(self, event: Any, step: Step | None, depth: int) -> Value:
        value = self._place(event, step)
        if depth > MAX_DEPTH:
            raise SyntaxProblem(value, f"nested more than {MAX_DEPTH} deep")
        build: Callable[[Value, Any, int], None] | None = {
            "ScalarEvent": self._fill_scalar,
            "SequenceStartEvent": self._fill_sequence,
            "MappingStartEvent": self._fill_mapping,
        }.get(type(event).__name__)
        if build is None:
            raise SyntaxProblem(value, f"aliases such as *{event.anchor} are not supported: write the value out")
        if event.tag is not None and event.tag != "!":
            raise SyntaxProblem(value, f"tags such as {event.tag} are not supported: leave it out")
        build(value, event, depth)
        return value

    def _fill_scalar(self, value: Value, event: Any, depth: int) -> None:
        if len(event.value) > MAX_TEXT_CHARS:
            raise SyntaxProblem(value, f"longer than {MAX_TEXT_CHARS} characters")
        value.text = event.value
        value.is_null = event.implicit[0] and event.value in ("", "~", "null", "Null", "NULL")

    def _fill_sequence(self, value: Value, event: Any, depth: int) -> None:
        value.items = []
        while type(event := next(self._events)).__name__ != "SequenceEndEvent":
            value.items.append(self._value(event, Step(value.step, f"[{len(value.items)}]"), depth + 1))

    def _fill_mapping(self, value: Value, event: Any, depth: int) -> None:
        value.entries = {}
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            key = self._value(event, value.step, depth + 1)
            if key.text is None or key.is_null:
                raise SyntaxProblem(key, f"{key.kind} cannot be a key: write NAME: VALUE")
            if len(key.text) > MAX_KEY_CHARS:
                raise SyntaxProblem(key, f"a key longer than {MAX_KEY_CHARS} characters")
            step = Step(value.step, f".{key.text}")
            entry = self._value(next(self._events), step, depth + 1)
            if key.text in value.entries:
                first = value.entries[key.text]
                key.step = step
                self._problems.add(key, f"given twice, first in line {first.line}")
            else:
                value.entries[key.text] = entry
