"""`make fuzz`: millions of inputs through all parsers, compiled and as source, held against each other.

What ends it with exit code 1: an exception that is no fault of a peer, a batch that does not end, a process that dies,
an outcome that differs between the two forms. The input is printed, to be added to `seeds`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from select import select
from typing import Self

from tests.forms import find_stale, find_uncompiled
from tests.fuzz.parsers import PARSERS

ROOT = Path(__file__).resolve().parents[2]
BATCH = 1_000
# A thousand inputs take a second or two; a batch that takes this long hangs.
HANG_S = 120.0


class Find(Exception):
    """Something is wrong, and the message says with what."""


class Form:
    """`worker.py` in one form."""

    def __init__(self, name: str) -> None:
        self.name = name
        environment = {**os.environ, "GOSSAMER_PURE": "1" if name == "source" else "0"}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(question + "\n")
        self.popen.stdin.flush()

    def hear(self, question: str) -> str:
        assert self.popen.stdout is not None
        if not select([self.popen.stdout], [], [], HANG_S)[0]:
            self.popen.kill()
            raise Find(f"{self.name} hangs in batch `{question}`")
        answer = self.popen.stdout.readline()
        if not answer:
            raise Find(f"{self.name} died in batch `{question}` with exit code {self.popen.wait()}")
        return answer.strip()

    def close(self) -> None:
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.close()
        self.popen.wait(HANG_S)
        self.popen.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def compare(forms: list[Form], question: str) -> None:
    """One batch by all forms at the same time."""
    for form in forms:
        form.ask(question)
    answers = [form.hear(question) for form in forms]
    if any(answer.startswith("BUG") for answer in answers) or len(set(answers)) > 1:
        raise Find(explain(forms, question))


def explain(forms: list[Form], question: str) -> str:
    """The first input of a batch that is wrong."""
    for number in range(int(question.split()[2])):
        answers = []
        for form in forms:
            form.ask(f"{question} {number}")
            answers.append(form.hear(question))
        if len(set(answers)) > 1 or " BUG " in answers[0]:
            told = "\n".join(f"{form.name}: {answer[:2_000]}" for form, answer in zip(forms, answers, strict=True))
            return f"batch `{question}`, input {number}:\n{told}"
    return f"batch `{question}` differs, none of its inputs alone does: is an outcome not a plain value?"


def fuzz(inputs: int, first_batch: int, names: list[str], form_names: list[str]) -> int:
    """Batches of all parsers in turn until there were so many inputs; returns how many."""
    done, batch = 0, first_batch
    forms = [Form(name) for name in form_names]
    try:
        while done < inputs:
            for name in names:
                compare(forms, f"{name} {batch} {BATCH}")
                done += BATCH
            batch += 1
    finally:
        for form in forms:
            form.close()
    return done


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000_000, help="how many, over all parsers (ten million)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first batch: another, other inputs")
    parser.add_argument("--parser", action="append", choices=list(PARSERS), help="only this one; may be repeated")
    parser.add_argument("--source-only", action="store_true", help="where nothing is compiled: look for crashes alone")
    options = parser.parse_args()
    if not options.source_only and (missing := find_stale() or find_uncompiled()):
        print(f"not compiled, or older than the source: {', '.join(missing)}; run `make install`", file=sys.stderr)
        return 2
    begun_s = time.monotonic()
    form_names = ["source"] if options.source_only else ["compiled", "source"]
    try:
        done = fuzz(options.inputs, options.first, options.parser or list(PARSERS), form_names)
    except Find as find:
        print(f"found: {find}", file=sys.stderr)
        return 1
    took_s = time.monotonic() - begun_s
    print(f"{done:,} inputs by {' and '.join(form_names)} in {took_s:.0f} s ({done / took_s:,.0f} a second): no find")
    return 0


if __name__ == "__main__":
    sys.exit(main())
