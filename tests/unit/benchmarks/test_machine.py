from __future__ import annotations

import json

from benchmarks.machine import parse_cpu_model
from benchmarks.peers.gossamer import parse_version


def test_the_cpu_has_its_name() -> None:
    assert parse_cpu_model("processor\t: 0\nmodel name\t: AMD EPYC: 9\nflags\t: a b\n") == "AMD EPYC: 9"
    assert parse_cpu_model("processor\t: 0\n")


def test_our_version_says_how_much_is_compiled() -> None:
    modules = {"proxy.codec": {"compiled": ["hpack", "frames"], "plain": ["errors"]}}
    assert parse_version(json.dumps({"version": "0.1.0", "modules": modules})) == "0.1.0 (2 of 3 hot modules compiled)"
