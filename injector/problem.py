"""Something that is wrong for a while: said once in the log when it begins, changes and ends, and shown meanwhile."""

from __future__ import annotations

from mesh.log import log


class Problem:
    """`text` is empty while all is well."""

    def __init__(self, when_over: str) -> None:
        self.text = ""
        self._when_over = when_over

    def tell(self, text: str) -> None:
        if text != self.text:
            self.text = text
            log(text)

    def settle(self) -> None:
        if self.text:
            self.text = ""
            log(self._when_over)
