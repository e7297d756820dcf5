"""Labels of a metric: who may say what in them, and how they are written.

Some values come from the network (`authority`), so they are cut, made valid UTF-8 and rid of control characters.
"""

from __future__ import annotations

Labels = tuple[tuple[str, str], ...]

MAX_VALUE_BYTES = 253  # the longest DNS name
OVERFLOW = "overflow"
BOUNDED = frozenset({"direction", "peer"})  # labels whose values are few; an overflow keeps them, so sums stay right
BOUNDED_VALUES = frozenset({"inbound", "outbound", "src", "dst"})
CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "?")
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def clean_labels(labels: Labels) -> Labels:
    return tuple((name, clean_value(value)) for name, value in labels)


def clean_value(value: str) -> str:
    """Make a value that came from outside fit to be shown and stored."""
    if len(value) > MAX_VALUE_BYTES or not value.isascii() or not value.isprintable():
        value = value.translate(CONTROLS).encode("utf-8", "replace")[:MAX_VALUE_BYTES].decode("utf-8", "ignore")
    return value


def overflow_labels(labels: Labels) -> Labels:
    """Make the labels of the handle that counts for all that found no room."""
    return tuple((name, value if name in BOUNDED and value in BOUNDED_VALUES else OVERFLOW) for name, value in labels)


def encode_labels(labels: Labels) -> str:
    """Write labels as they stand between the braces of the exposition format."""
    return ",".join(f'{name}="{value.translate(ESCAPES)}"' for name, value in labels)
