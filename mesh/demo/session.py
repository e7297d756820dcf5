"""One run of `mesh demo`: the story's end, good, bad or by a signal, as output and an exit code.

Signals cancel the story's task, so that they take effect where it waits and never between the start of a process
and its entry in the list of those to be stopped.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine

from mesh.demo.process import DemoError
from mesh.demo.screen import PlainScreen, Screen, open_screen
from mesh.demo.story import Plan, Story
from mesh.demo.summary import to_json, to_text

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EXIT_FAILED = 1
EXIT_SIGNAL = 128  # plus the signal's number, as a shell reports it


Tell = Callable[[Plan, Screen], Coroutine[None, None, Story]]


def run(plan: Plan, tell: Tell, *, as_json: bool) -> int:
    """`tell` is the story of this machine or that of a cluster."""
    try:
        screen = PlainScreen(sys.stderr) if as_json else open_screen(sys.stdout)
        ending = asyncio.run(_tell(tell(plan, screen)))
        if isinstance(ending, signal.Signals):
            for number in STOPPING:  # it is ending: a second Ctrl-C would only spoil the exit code
                signal.signal(number, signal.SIG_IGN)
            print("mesh demo: stopped", file=sys.stderr)
            return EXIT_SIGNAL + ending
        print(json.dumps(to_json(ending), indent=2) if as_json else to_text(ending), flush=True)
    except DemoError as error:
        print(f"mesh demo: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:  # the reader of our output has gone; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return 0


async def _tell(story: Coroutine[None, None, Story]) -> Story | signal.Signals:
    """The story, or the signal that cut it short."""
    task = asyncio.ensure_future(story)
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        received.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in STOPPING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
            loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        return received[0]
