"""What the commands say when they cannot do what is asked, or do it and there is more to know."""

from __future__ import annotations

import sys

EXIT_FAILED, EXIT_USAGE = 1, 2


class Refused(Exception):
    """The command ends with this sentence; `code` is its exit code."""

    def __init__(self, sentence: str, code: int = EXIT_FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def warn(sentence: str) -> None:
    print(f"mesh: {sentence}", file=sys.stderr)
