"""One call, one line, whatever is in it."""

from __future__ import annotations

import logging

import grpc
import pytest

from mesh.log import LINES_MAX, Quota, _Handler, is_of_use, log, log_bug


def test_nothing_in_a_message_ends_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    log("a\nb\r\x1b[31m\x85\u2028\u202e\x00é")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"Z a\nb\r\x1b[31m\x85\u2028\u202e\x00é")


def test_a_traceback_has_lines_that_nobody_takes_for_others(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z forged")
    except ValueError as error:
        log_bug("here", error)
    first, *others = capsys.readouterr().err.splitlines()
    assert first.endswith("bug: here: Traceback (most recent call last):")
    assert all(line.startswith("    ") for line in others)


def record(name: str, exc_info: BaseException | None = None) -> logging.LogRecord:
    info = (type(exc_info), exc_info, None) if exc_info else None
    return logging.LogRecord(name, logging.ERROR, "", 0, "said %s", ("this\n",), info)


def test_libraries_write_a_bounded_number_of_lines_and_sources_any(capsys: pytest.CaptureFixture[str]) -> None:
    handler = _Handler("controlplane")
    for _ in range(2 * LINES_MAX):
        handler.emit(record("grpc"))
    for _ in range(2 * LINES_MAX):
        handler.emit(record("controlplane.sources.files"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 * LINES_MAX
    assert all(line.endswith(r"said this\n") for line in lines)


def test_nobody_ends_a_kind_of_line_for_good(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("mesh.log.time.monotonic", lambda: now)
    quota = Quota(3)
    assert [quota.admit() for _ in range(10)] == [True] * 3 + [False] * 7
    now += 59.0
    assert not quota.admit()
    assert capsys.readouterr().err == ""
    now += 1.0
    assert quota.admit()
    assert capsys.readouterr().err.endswith("Z 8 lines like the next one were left out\n")
    now += 60.0
    assert quota.admit()
    assert capsys.readouterr().err == ""


def test_that_a_client_went_away_is_not_said() -> None:
    class ExecuteBatchError(grpc.aio.BaseError):
        """Named as gRPC's own, which it does not export."""

    assert not is_of_use(record("grpc._cython.cygrpc", ExecuteBatchError()))
    assert is_of_use(record("grpc._cython.cygrpc", ValueError()))
    assert is_of_use(record("grpc._cython.cygrpc"))
