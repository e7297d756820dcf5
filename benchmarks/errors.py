"""What stops a benchmark run: always one sentence that says what to do or what went wrong."""

from __future__ import annotations


class BenchmarkError(Exception):
    """The run cannot go on, or its figures would not be honest."""
