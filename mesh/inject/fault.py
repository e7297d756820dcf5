"""What stops the command: one sentence, exit code 1."""

from __future__ import annotations


class Unusable(Exception):
    """Input that cannot be read, or an object that cannot be what its author meant."""
