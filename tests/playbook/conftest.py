from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.playbook.stage import Stage

MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage() -> Iterator[MakeStage]:
    """Makes stages; at the end of the test each must come out even."""
    stages: list[Stage] = []

    def make(*args: Any, **kwargs: Any) -> Stage:
        stages.append(Stage(*args, **kwargs))
        return stages[-1]

    yield make
    for stage in stages:
        stage.finish()


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """Two endpoints, both connected."""
    made = make_stage()
    made.connect_all()
    return made
