"""Running the application: in place of this process, or below it, where its end must be seen.

As an entry point this is often process 1 of a container, to which the kernel gives no signal that it has not asked for,
and whose orphans it must reap.
"""

from __future__ import annotations

import os
import signal

# Not to be passed on: of the child, of the terminal, and those that no process can have.
_OWN = {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT}
# Faults of this process itself.
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}
# Python ignores these, which a child would inherit.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
# si_code of a signal that the kernel sends, as a terminal's Ctrl-C: the child has had it too.
_FROM_KERNEL = 0x80
_NOT_FOUND, _NOT_RUNNABLE = 127, 126


class CannotRun(Exception):
    """A sentence, and the exit code that a shell would give."""

    def __init__(self, command: list[str], error: OSError) -> None:
        super().__init__(f"cannot run {command[0]}: {(error.strerror or str(error)).lower()}")
        self.code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE


def replace_by(command: list[str]) -> None:
    """Become it; CannotRun where that fails."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise CannotRun(command, error) from None


def run_below(command: list[str]) -> int:
    """Run it to its end, with all signals passed on; its exit code."""
    watched = signal.valid_signals() - _OWN - _FAULTS | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        pid = os.posix_spawnp(command[0], command, os.environ, setsigmask=before, setsigdef=_IGNORED)
    except OSError as error:
        raise CannotRun(command, error) from None
    while True:
        info = signal.sigwaitinfo(watched)
        if info.si_signo != signal.SIGCHLD:
            if info.si_code != _FROM_KERNEL:
                os.kill(pid, info.si_signo)
        elif (code := reap(pid)) is not None:
            return code


def reap(pid: int) -> int | None:
    """Bury all that have ended; the exit code if `pid` is one of them."""
    code = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if ended == 0:
            return code
        if ended == pid:
            result = os.waitstatus_to_exitcode(status)
            code = result if result >= 0 else 128 - result
