"""The files source as the control plane runs it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from controlplane.model.snapshot import Relist
from controlplane.sources.files import FilesSource
from controlplane.sources.source import SourceError
from tests.unit.controlplane.sources.witness import State, running, until

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 80}]}\n"


def write(directory: Path, name: str) -> None:
    (directory / ".new").write_text(SERVICE.replace("NAME", name))
    os.rename(directory / ".new", directory / f"{name}.yaml")


async def test_it_lists_every_kind_and_follows_changes(tmp_path: Path) -> None:
    write(tmp_path, "a")
    source, state = FilesSource(str(tmp_path), poll_s=0.01), State()
    assert not source.synced
    async with running(source, state):
        await until(lambda: source.synced)
        assert all(isinstance(item, Relist) and item.available for item in state.batches[0])
        assert len(state.batches[0]) == 3
        assert state.services() == {"a"}
        write(tmp_path, "b")
        await until(lambda: state.services() == {"a", "b"})
        (tmp_path / "a.yaml").unlink()
        await until(lambda: state.services() == {"b"})
        assert source.problems() == []
        assert source.counters()["events", "services", "ADDED"] == 2
        assert len(state.batches) == 3


async def test_a_missing_directory_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read the directory"):
        await FilesSource(str(tmp_path / "none")).open()
    with pytest.raises(SourceError):
        await FilesSource(str(tmp_path / "none")).run(State().take)


async def test_a_directory_that_vanishes_later_makes_the_data_stale_and_nothing_else(tmp_path: Path) -> None:
    directory = tmp_path / "mesh"
    directory.mkdir()
    write(directory, "a")
    source, state = FilesSource(str(directory), poll_s=0.01), State()
    async with running(source, state):
        await until(lambda: source.synced)
        os.rename(directory, tmp_path / "away")
        await until(lambda: len(source.problems()) == 1)
        since = source.staleness_s(0)
        await asyncio.sleep(0.05)
        assert source.staleness_s(0) == since
        assert state.services() == {"a"}
        os.rename(tmp_path / "away", directory)
        await until(lambda: source.problems() == [])
        assert source.staleness_s(0) < since
        assert set(source.staleness(time.monotonic())) == {"services", "endpointslices", "pods"}


async def test_after_a_fault_of_the_sink_everything_is_told_again(tmp_path: Path) -> None:
    write(tmp_path, "a")
    source, state = FilesSource(str(tmp_path), poll_s=0.01), State()
    async with running(source, state):
        await until(lambda: source.synced)
        state.fault = RuntimeError("a bug")
        write(tmp_path, "b")
        await until(lambda: state.services() == {"a", "b"})
        assert isinstance(state.batches[-1][0], Relist)


async def test_problems_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.yaml").write_text("")
    source, state = FilesSource(str(tmp_path), poll_s=0.01), State()
    async with running(source, state):
        await until(lambda: source.synced)
        (tmp_path / "a.yaml").write_text("a: [")
        await until(lambda: "a.yaml" in str(source.problems()))
        write(tmp_path, "b")
        await until(lambda: state.services() == {"b"})
    assert len([record for record in caplog.records if "a.yaml" in record.getMessage()]) == 1


async def test_a_file_that_cannot_be_read_at_first_is_waited_for(tmp_path: Path) -> None:
    """To serve the rest would tell all sidecars that what it describes is gone."""
    write(tmp_path, "voting")
    broken = tmp_path / "broken.yaml"
    broken.write_text("{half a")
    source, state = FilesSource(str(tmp_path), poll_s=0.01), State()
    async with running(source, state):
        await asyncio.sleep(0.2)
        assert (state.services(), source.synced) == (set(), False)
        assert "broken.yaml" in str(source.problems())
        broken.unlink()
        await until(lambda: state.services() == {"voting"})
        assert source.synced
