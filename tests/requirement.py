"""What a test does when a part that it needs is missing on this machine: skip with the reason; under CI, fail."""

from __future__ import annotations

import os
import shutil

import pytest

IS_CI = os.environ.get("CI") == "true"


def require(part: object, reason: str) -> None:
    """Go on if `part`, a program's name or any truth, is there; `reason` says what is missing and how to get it."""
    present = shutil.which(part, path=f"{os.environ['PATH']}:/usr/sbin") if isinstance(part, str) else part
    if present:
        return
    if IS_CI:
        pytest.fail(f"missing under CI: {reason}")
    pytest.skip(reason)
