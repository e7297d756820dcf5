"""Pipes: bounded, used again, and done without where the system has none."""

from __future__ import annotations

import os
import resource

from proxy.net.opaque_pipes import Pipes


def test_an_empty_pipe_serves_the_next() -> None:
    pipes = Pipes()
    pipe = pipes.take()
    assert pipe is not None
    pipes.give(pipe, True)
    assert pipes.take() is pipe
    pipes.give(pipe, True)
    pipes.close()
    assert pipes.open == 0


def test_a_pipe_with_bytes_in_it_is_closed() -> None:
    pipes = Pipes()
    pipe = pipes.take()
    assert pipe is not None
    os.write(pipe.sink, b"secret")
    pipes.give(pipe, False)
    assert pipes.open == 0
    assert pipes.spare == []


def test_there_is_a_limit() -> None:
    pipes = Pipes(2)
    taken = [pipes.take() for _ in range(4)]
    assert [pipe is not None for pipe in taken] == [True, True, False, False]
    assert pipes.refusals == 2
    for pipe in taken:
        if pipe is not None:
            pipes.give(pipe, True)
    pipes.close()


def test_few_are_kept_in_reserve() -> None:
    pipes = Pipes(100)
    for pipe in [pipes.take() for _ in range(50)]:
        assert pipe is not None
        pipes.give(pipe, True)
    assert pipes.open == len(pipes.spare) == 8
    pipes.close()


def test_without_file_descriptors_there_is_none() -> None:
    pipes = Pipes()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert pipes.take() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert pipes.open == 0
    assert pipes.refusals == 1
