"""Where a running process spends its time: in Python (py-spy) and below it (perf), as far as these tools are there.

py-spy counts only the thread that holds the interpreter's lock: it takes waiting threads of gRPC for busy ones.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RATE_HZ = 200
TOP = 25
CHECKOUT = str(Path(__file__).parents[2]) + "/"
_SHARE = re.compile(r"^\s*(\d+\.\d+)%\s+(\S+)(?:\s+\[[.k]\]\s+(\S+))?", re.MULTILINE)
_COLLECTOR = re.compile(r"^(gc_collect\w*|visit_\w+|\w+_traverse|PyObject_GC_\w+|untrack_\w+|subtract_refs)$")


def find_profiler() -> str | None:
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


@contextmanager
def record(pid: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Profile while the block runs; the result is filled in at its end, and says what is missing."""
    profile: dict[str, Any] = {}
    whole = str(max(1, round(seconds)))
    with tempfile.TemporaryDirectory() as folder:
        stacks, samples = Path(folder) / "stacks", Path(folder) / "samples"
        spy = [find_profiler() or "py-spy", "record", "--pid", str(pid), "--duration", whole, "--rate", str(RATE_HZ)]
        spy += ["--gil", "--format", "raw", "--output", str(stacks), "--full-filenames"]
        perf = ["perf", "record", "--quiet", "--pid", str(pid), "--output", str(samples), "--", "sleep", whole]
        recorders = [start(spy), start(perf)]
        yield profile
        profile["python"] = summarise(stacks.read_text()) if finish(recorders[0]) else {}
        profile["native"] = read_samples(samples) if finish(recorders[1]) else {}


def start(argv: Sequence[str]) -> subprocess.Popen[bytes] | None:
    if shutil.which(argv[0]) is None:
        return None
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(recorder: subprocess.Popen[bytes] | None) -> bool:
    """Whether it has recorded."""
    return recorder is not None and recorder.wait(60) == 0


def summarise(stacks: str) -> dict[str, Any]:
    """Of folded stacks (`outer;inner COUNT`): the share of each function itself, and with all that it calls."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, number = line.rpartition(" ")
        frames = [name_frame(frame) for frame in stack.split(";")]
        own[frames[-1]] += int(number)
        total.update(dict.fromkeys(frames, int(number)))
    samples = sum(own.values())

    def shares(counts: Counter[str]) -> list[dict[str, Any]]:
        return [{"function": name, "share": round(count / samples, 4)} for name, count in counts.most_common(TOP)]

    return {"samples": samples, "own": shares(own), "total": shares(total)}


def name_frame(frame: str) -> str:
    """`function (folder/file.py)`, without the line and what lies before the package."""
    function, _, place = frame.rpartition(" (")
    path = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    path = path.removeprefix(CHECKOUT)
    _, found, tail = path.rpartition("site-packages/")
    _, inside, library = path.rpartition("/lib/python3")
    return f"{function} ({tail if found else library.partition('/')[2] if inside else path})"


def read_samples(file: Path) -> dict[str, Any]:
    """perf's samples by library, by thread, and the share of the garbage collector."""

    def report(sort: str) -> list[tuple[float, str, str]]:
        argv = ["perf", "report", "--input", str(file), "--stdio", "--no-children", "-g", "none", "--sort", sort]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return parse_shares(done.stdout)

    return {
        "libraries": shares_by_name(report("dso"))[:8],
        "threads": shares_by_name(report("comm"))[:8],
        "collector_share": collector_share(report("dso,symbol")),
    }


def parse_shares(text: str) -> list[tuple[float, str, str]]:
    """Lines `SHARE% NAME` or `SHARE% NAME [.] SYMBOL`."""
    return [(float(share) / 100, name, symbol) for share, name, symbol in _SHARE.findall(text)]


def shares_by_name(shares: Sequence[tuple[float, str, str]]) -> list[dict[str, Any]]:
    return [{"name": name.partition(".cpython")[0], "share": share} for share, name, _ in shares]


def collector_share(shares: Sequence[tuple[float, str, str]]) -> float:
    """What Python's cyclic garbage collector takes, as far as its functions have names of their own."""
    found = sum(share for share, name, symbol in shares if "python" in name and _COLLECTOR.match(symbol))
    return round(found, 4)
