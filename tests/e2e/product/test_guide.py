"""What docs/getting-started.md shows after the installation, and the story of `mesh demo --kubernetes`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mesh.demo.application import FAILING_METHOD, PODS_PER_SERVICE
from mesh.demo.kubernetes.__main__ import to_yaml
from tests.e2e.product.scene import Voting
from tests.e2e.product.tour import GUIDE, Tour, read_guide

pytestmark = pytest.mark.timeout(1200)  # the first time, an image is built


def test_the_manifests_in_docs_are_those_of_the_demo() -> None:
    assert Path(GUIDE.with_name("voting.yaml")).read_text() == to_yaml(), (
        "python -m mesh.demo.kubernetes > docs/voting.yaml"
    )


def test_every_line_of_mesh_check_is_green(voting: Voting, tour: Tour) -> None:
    """Also that of the streams, right after the pods are there."""
    lines = json.loads(tour.run("mesh check --wait 1m --output json"))["checks"]
    assert {line["name"]: line["cause"] for line in lines if line["verdict"] != "ok"} == {
        "availability": "it is installed with one replica of each part; mesh upgrade --ha makes it highly available"
    }


def test_what_the_guide_lets_a_user_see(steady: Voting, tour: Tour) -> None:
    seen = tour.run_section("Watch it")
    assert all(name in seen for name in steady.pods("emoji"))
    assert 'direction="outbound"' in seen


def test_the_story_in_a_cluster(tour: Tour) -> None:
    (command,) = read_guide()["Before and after"]
    story = json.loads(tour.run(f"{command.strip()} --json --duration 3 --rate 50"))
    assert story["failing_method"] == FAILING_METHOD
    assert {name: count_reached(mode, "emoji") for name, mode in story["modes"].items()} == {
        "unmeshed": 1,
        "meshed": PODS_PER_SERVICE,
    }
    for mode in story["modes"].values():
        assert {failure["method"] for failure in mode["failures"]} == {FAILING_METHOD}


def count_reached(mode: Any, service: str) -> int:
    return sum(row["service"] == service and row["requests"] > 0 for row in mode["pods"])
