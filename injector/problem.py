"""Something that is wrong for a while: said once in the log when it begins, changes and ends, and shown meanwhile."""

from __future__ import annotations

from typing import Final

from mesh.log import Quota, log

_LINES_MAX: Final = 10  # a minute: what pods ask for can be part of it


class Problem:
    """`text` is empty while all is well."""

    def __init__(self, when_over: str) -> None:
        self.text = ""
        self._when_over = when_over
        self._quota = Quota(_LINES_MAX)

    def tell(self, text: str) -> None:
        if text != self.text:
            self.text = text
            self._log(text)

    def settle(self) -> None:
        if self.text:
            self.text = ""
            self._log(self._when_over)

    def _log(self, text: str) -> None:
        if self._quota.admit():
            log(text)
