"""One direction's way to its end, under a clock that the test sets."""

from proxy.life.course import DRAINING, ENDED, LINGERING, SERVING, Course


def test_it_serves_until_it_is_told() -> None:
    course = Course()
    assert course.advance(1e9, False) == SERVING


def test_it_lingers_for_its_time_however_idle() -> None:
    course = Course()
    course.begin(100.0, 5.0)
    assert course.advance(100.0, False) == LINGERING
    assert course.advance(104.9, False) == LINGERING
    assert course.advance(105.0, True) == DRAINING


def test_no_time_is_no_lingering() -> None:
    course = Course()
    course.begin(100.0, 0.0)
    assert course.advance(100.0, True) == DRAINING


def test_who_is_quiet_ends_sooner() -> None:
    course = Course()
    course.begin(100.0, 60.0, 5.0)
    assert course.advance(104.9, False) == LINGERING
    assert course.advance(105.0, False) == DRAINING


def test_quiet_is_counted_from_the_last_that_was_busy() -> None:
    course = Course()
    course.begin(100.0, 60.0, 5.0)
    assert course.advance(104.0, True) == LINGERING
    assert course.advance(108.9, False) == LINGERING
    assert course.advance(109.0, False) == DRAINING


def test_who_is_busy_for_ever_ends_in_time() -> None:
    course = Course()
    course.begin(100.0, 60.0, 5.0)
    assert [course.advance(100.0 + s, True) for s in range(60)] == [LINGERING] * 60
    assert course.advance(160.0, True) == DRAINING


def test_being_told_again_only_brings_the_end_nearer() -> None:
    course = Course()
    course.begin(100.0, 5.0)
    course.begin(101.0, 60.0, 30.0)
    assert course.advance(104.9, False) == LINGERING
    course.begin(104.9, 0.0)
    assert course.advance(104.9, False) == DRAINING


def test_a_phase_is_never_gone_back_to() -> None:
    course = Course()
    course.begin(100.0, 0.0)
    course.advance(100.0, False)
    course.begin(101.0, 60.0)
    assert course.advance(101.0, True) == DRAINING
    course.end()
    course.begin(102.0, 60.0)
    assert course.advance(102.0, True) == ENDED
