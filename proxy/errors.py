"""The errors that end the start of a proxy; whoever runs it reads their text, so it says what to do about it."""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration cannot be used. The message is complete: exit with 2, or on a reload keep what there was."""
