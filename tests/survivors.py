"""Finds the processes that tests left running: they would hold ports and CPU of the tests after them.

A process is ours if it has inherited this session's token, even when its parent is gone, or if it is our child.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

VARIABLE = "GOSSAMER_TEST_SESSION"


def mark_session() -> None:
    """Give this process a token that everything it starts inherits."""
    os.environ[VARIABLE] = uuid.uuid4().hex


def find_survivors() -> dict[int, str]:
    """Command lines of the processes that should have ended, by pid."""
    token = f"{VARIABLE}={os.environ[VARIABLE]}".encode()
    found = {int(entry.name): read_survivor(entry, token) for entry in Path("/proc").glob("[0-9]*")}
    return {pid: command for pid, command in found.items() if command and pid != os.getpid()}


def read_survivor(entry: Path, token: bytes) -> str:
    """The command line of the process at `entry`; empty if it is not ours, has ended, or ends with us by itself."""
    try:
        environment = (entry / "environ").read_bytes().split(b"\0")
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:  # it ended meanwhile, or is another user's
        return ""
    is_ours = token in environment or int(parent) == os.getpid()
    ends_by_itself = "multiprocessing.resource_tracker" in command
    return command if is_ours and state != "Z" and not ends_by_itself else ""
