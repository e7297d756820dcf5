from __future__ import annotations

from benchmarks.scale.profile import CHECKOUT, collector_share, name_frame, parse_shares, shares_by_name, summarise

STACKS = """\
main (a.py:1);work (a.py:5) 6
main (a.py:1);work (a.py:7);work (a.py:9) 2
main (a.py:2) 2
"""


def test_own_time_and_the_time_of_what_is_called() -> None:
    found = summarise(STACKS)
    assert found["samples"] == 10
    assert found["own"] == [{"function": "work (a.py)", "share": 0.8}, {"function": "main (a.py)", "share": 0.2}]
    assert found["total"] == [{"function": "main (a.py)", "share": 1.0}, {"function": "work (a.py)", "share": 0.8}]


def test_frames_are_named_from_the_package_on() -> None:
    assert name_frame(f"run ({CHECKOUT}controlplane/state.py:12)") == "run (controlplane/state.py)"
    assert name_frame("get (/x/lib/python3.11/site-packages/grpc/aio/_call.py:7)") == "get (grpc/aio/_call.py)"
    assert name_frame("poll (select.c)") == "poll (select.c)"
    assert name_frame("run (/usr/lib/python3.11/asyncio/runners.py:118)") == "run (asyncio/runners.py)"


SHARES = """\
# Overhead  Shared Object  Symbol
    39.57%  libpython3.11.so.1.0                 [.] gc_collect_main          -      -
    10.25%  libpython3.11.so.1.0                 [.] _PyEval_EvalFrameDefault -      -
     2.50%  libpython3.11.so.1.0                 [.] visit_decref
    13.94%  [kernel.kallsyms]                    [k] visit_decref
"""


def test_what_the_garbage_collector_takes() -> None:
    assert collector_share(parse_shares(SHARES)) == 0.4207


def test_shares_of_libraries() -> None:
    found = shares_by_name(parse_shares("  19.30%  cygrpc.cpython-311-x86_64-linux-gnu.so    \n  1.00%  [vdso]\n"))
    assert found == [{"name": "cygrpc", "share": 0.193}, {"name": "[vdso]", "share": 0.01}]
