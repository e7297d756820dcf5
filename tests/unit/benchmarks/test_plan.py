from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.__main__ import make_plan, parse
from benchmarks.errors import BenchmarkError
from benchmarks.load import Shape
from benchmarks.peers.peer import Place
from benchmarks.plan import Cores, choose_cores, parse_headers, parse_parts, parse_peers, rotated


def test_every_one_is_first_once() -> None:
    names = ["a", "b", "c"]
    assert [rotated(names, number)[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert sorted(rotated(names, 2)) == names


def test_the_proxy_has_the_last_core_for_itself() -> None:
    assert choose_cores(True, [0, 1]) == Cores("1", "0")
    assert choose_cores(True, [2, 3, 5, 7]) == Cores("7", "2,3,5")


def test_one_core_cannot_be_divided() -> None:
    assert choose_cores(True, [0]) == Cores(None, None)
    assert choose_cores(False, [0, 1]) == Cores(None, None)


def test_parts_are_shapes_and_words() -> None:
    assert parse_parts("8x4,open") == ((Shape(8, 4),), {"open"})
    assert parse_parts("memory,1x1,tcp,1x1") == ((Shape(1, 1),), {"memory", "tcp"})


def test_a_part_that_no_peer_takes_is_refused() -> None:
    assert make_plan(parse(["--peers=envoy,h2", "--shapes=tcp"])).names("tcp") == ["envoy"]
    with pytest.raises(BenchmarkError, match="none of these peers is measured with tcp"):
        make_plan(parse(["--peers=nginx,h2", "--shapes=http1,tcp"]))


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(BenchmarkError, match="traefik is no peer; the peers are gossamer, envoy"):
        parse_peers("envoy,traefik")
    with pytest.raises(BenchmarkError, match="same, unique"):
        parse_headers("other")


def test_another_build_can_be_measured() -> None:
    (peer,) = parse_peers("gossamer", Path("/elsewhere/mesh"))
    argv = peer.command(Place(1, 2, (3, 4), Path("/unused")))
    assert argv[0] == "/elsewhere/mesh"
    assert argv[-4:] == ["--to", "127.0.0.1:3,127.0.0.1:4", "--admin", "127.0.0.1:2"]
    with pytest.raises(BenchmarkError, match="make install"):
        peer.prepare()


def test_by_default_everything_is_measured() -> None:
    plan = make_plan(parse([]))
    assert plan.is_complete
    assert plan.rounds == 5
    assert plan.names("grpc")[-1] == "direct"
    assert plan.names("http1") == ["gossamer", "envoy", "haproxy", "nginx"]
    assert plan.open_duration_s == 2 * plan.duration_s


@pytest.mark.parametrize("argument", ["--peers=envoy", "--shapes=8x32,8x4,1x1,open,memory,http1", "--headers=same"])
def test_a_part_is_not_everything(argument: str) -> None:
    assert not make_plan(parse([argument])).is_complete


def test_quick_is_one_short_round() -> None:
    quick, full = make_plan(parse(["--quick"])), make_plan(parse([]))
    assert quick.rounds == 1
    assert quick.duration_s < full.duration_s
    assert make_plan(parse(["--quick", "--rounds=2", "--duration=3"])).rounds == 2


@pytest.mark.parametrize("argument", ["--rounds=0", "--duration=0", "--duration=1e9", "--duration=nan"])
def test_senseless_numbers_are_refused(argument: str) -> None:
    with pytest.raises(BenchmarkError, match="at least 1"):
        make_plan(parse([argument]))


def test_without_shapes_the_direct_path_has_no_turn() -> None:
    plan = dataclasses.replace(make_plan(parse([])), shapes=())
    assert "direct" not in plan.names("grpc")
    assert plan.has_grpc
    assert not dataclasses.replace(plan, parts=frozenset(("tcp",))).has_grpc
