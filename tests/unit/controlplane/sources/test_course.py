"""What is asked next, and when: every way in which a list or a watch can end, and what follows."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.sources.course import (
    BUSY,
    DENIED,
    EXPIRED,
    FINISHED,
    GARBAGE,
    LOST,
    REFUSED,
    STALLED,
    UNAUTHORIZED,
    Course,
    Limits,
    judge,
)
from controlplane.sources.wire import Refusal

LONG_S = 400.0
CAUSES = (FINISHED, LOST, EXPIRED, STALLED, GARBAGE, BUSY, REFUSED, UNAUTHORIZED, DENIED)


class LastDraw(Random):
    """Always draws the longest wait, so that bounds show."""

    def random(self) -> float:
        return 1.0


def listed(course: Course, version: str = "5") -> Course:
    course.listed(version)
    return course


def make_course() -> Course:
    return Course(Limits(), LastDraw())


def test_it_begins_with_a_list_of_the_most_recent_state_at_once() -> None:
    ask = make_course().ask()
    assert (ask.wait_s, ask.reason, ask.params) == (0, "start", {})


def test_after_a_list_it_watches_from_that_version_with_bookmarks() -> None:
    ask = listed(make_course()).ask()
    assert (ask.wait_s, ask.reason) == (0, "")
    assert ask.params == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "5",
        "timeoutSeconds": "600",
    }


def test_the_timeouts_of_watches_are_spread() -> None:
    course = listed(Course(Limits(), Random(1)))
    drawn = {int(course.ask().params["timeoutSeconds"]) for _ in range(200)}
    assert min(drawn) >= 300
    assert max(drawn) <= 600
    assert len(drawn) > 100


@pytest.mark.parametrize("cause", [FINISHED, LOST, BUSY, UNAUTHORIZED])
def test_a_watch_that_was_cut_goes_on_from_the_last_version(cause: str) -> None:
    course = listed(make_course())
    course.advance("8")
    course.end(cause, LONG_S)
    assert course.ask().params["resourceVersion"] == "8"


@pytest.mark.parametrize("cause", [EXPIRED, STALLED, GARBAGE, REFUSED, DENIED])
def test_what_casts_doubt_on_the_version_leads_to_a_list(cause: str) -> None:
    course = listed(make_course())
    course.end(cause, LONG_S)
    assert course.ask().reason == cause
    assert "resourceVersion" not in course.ask().params


def test_a_watch_that_ran_its_time_is_followed_by_the_next_at_once() -> None:
    course = listed(make_course())
    course.end(FINISHED, LONG_S)
    assert course.ask().wait_s == 0


def test_a_watch_that_ends_early_is_not_repeated_hot() -> None:
    course = listed(make_course())
    waits = []
    for _ in range(8):
        course.end(FINISHED, 0.1)
        waits.append(course.ask().wait_s)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    course.end(LOST, LONG_S)
    assert course.ask().wait_s == 1


def test_a_list_that_succeeds_between_failing_watches_does_not_shorten_the_waits() -> None:
    course = make_course()
    waits = []
    for _ in range(6):
        course.listed("5")
        assert course.ask().wait_s == 0
        course.end(EXPIRED, 0)
        waits.append(course.ask().wait_s)
    assert waits == [1, 2, 4, 8, 16, 30]


def test_waits_are_spread_over_their_whole_range() -> None:
    waits = []
    for seed in range(300):
        course = Course(Limits(), Random(seed))
        course.end(LOST, 0)
        waits.append(course.ask().wait_s)
    assert min(waits) < 0.1
    assert max(waits) > 0.9
    assert max(waits) <= 1


def test_retry_after_is_heeded_up_to_a_bound() -> None:
    course = Course(Limits(), Random(1))
    course.end(BUSY, 0, 20)
    assert 20 <= course.ask().wait_s <= 30
    course.end(BUSY, 0, 86_400)
    assert 60 <= course.ask().wait_s <= 90


def test_a_denial_is_believed_when_it_is_repeated_and_then_tried_again_seldom() -> None:
    course = make_course()
    for wait_s in (1, 2, 4):
        course.end(DENIED, 0)
        assert (course.is_denied, course.ask().wait_s) == (False, wait_s)
    for wait_s in (30, 60, 120, 240, 300, 300):
        course.end(DENIED, 0)
        assert (course.is_denied, course.ask().wait_s) == (True, wait_s)
    course.listed("5")
    assert (course.is_denied, course.ask().reason) == (False, "")
    course.end(DENIED, 0)
    assert not course.is_denied


def test_another_failure_in_between_is_not_a_denial() -> None:
    course = make_course()
    for cause in (DENIED, DENIED, DENIED, BUSY, DENIED):
        course.end(cause, 0)
    assert not course.is_denied


@given(st.lists(st.tuples(st.sampled_from([*CAUSES, "listed"]), st.sampled_from([0.0, 1.0, LONG_S])), max_size=60))
def test_no_wait_is_endless_and_none_but_a_finished_watch_has_none(story: list[tuple[str, float]]) -> None:
    course = make_course()
    for cause, lived_s in story:
        if cause == "listed":
            course.listed("5")
        else:
            course.end(cause, lived_s)
            assert (course.ask().wait_s == 0) == (cause == FINISHED and lived_s == LONG_S)
        assert 0 <= course.ask().wait_s <= 300


@pytest.mark.parametrize(
    ("code", "text", "cause"),
    [
        (410, "", EXPIRED),
        (401, "Unauthorized", UNAUTHORIZED),
        (403, 'services is forbidden: User "system:anonymous" cannot list', UNAUTHORIZED),
        (403, 'services is forbidden: User "joe" cannot list', DENIED),
        (404, "", DENIED),
        (429, "", BUSY),
        (500, "", BUSY),
        (504, "Too large resource version", BUSY),
        (400, "", REFUSED),
        (302, "", REFUSED),
    ],
)
def test_causes_of_the_apis_errors(code: int, text: str, cause: str) -> None:
    assert judge(Refusal(code, text)) == cause
