"""`mesh proxy` with a beat in its event loop that notes the longest turn in CPU time; used where figures are asked for.

Run in the place of the command (GOSSAMER_E2E_PROXY) with the options of the command. A beat every millisecond stands in
the loop's timers, so that what the thread's CPU clock shows between two beats is what one turn cost: the pause that any
honest client may meet, told without what other processes do to the machine. `Turns` reads it from outside.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

from proxy import main as command

FOLDER = "GOSSAMER_ABUSE_TURNS"
BEAT_S = 0.001
LONGEST = struct.Struct("d")
run = command.run


class Turns:
    """The longest turn of one process since `reset`, in a file that both sides map."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), LONGEST.size)

    def reset(self) -> None:
        LONGEST.pack_into(self.memory, 0, 0.0)

    @property
    def longest_s(self) -> float:
        longest_s: float = LONGEST.unpack_from(self.memory)[0]
        return longest_s

    def note(self, took_s: float) -> None:
        if took_s > self.longest_s:
            LONGEST.pack_into(self.memory, 0, took_s)


def find_turns(pid: int) -> Turns | None:
    """Of a process that runs this; None where no figures are asked for."""
    folder = os.environ.get(FOLDER)
    return Turns(Path(folder, str(pid))) if folder else None


def beat(loop: asyncio.AbstractEventLoop, turns: Turns, before_s: float) -> None:
    now_s = time.thread_time()
    turns.note(now_s - before_s)
    loop.call_later(BEAT_S, beat, loop, turns, now_s)


def begin() -> None:
    """Once the event loop runs, with a file of this process's own."""
    path = Path(os.environ[FOLDER], str(os.getpid()))
    path.write_bytes(bytes(LONGEST.size))
    beat(asyncio.get_running_loop(), Turns(path), time.thread_time())


async def run_with_beat(*given: Any) -> int:
    begin()
    return await run(*given)


if __name__ == "__main__":
    command.run = run_with_beat
    sys.exit(command.main(sys.argv[1:]))
