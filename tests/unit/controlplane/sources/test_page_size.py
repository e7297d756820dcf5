"""How many objects a page may have."""

from __future__ import annotations

from controlplane.sources.course import Limits
from controlplane.sources.page_size import PageSize

LIMITS = Limits(page_objects=100, page_aim_bytes=1_000)


def test_small_objects_come_by_the_hundred() -> None:
    size = PageSize(LIMITS)
    for size_bytes in (0, 100, 999):
        size.learn(size_bytes)
        assert size.objects == 100


def test_large_ones_make_pages_smaller_and_small_ones_let_them_grow_again() -> None:
    size = PageSize(LIMITS)
    size.learn(10_000)
    assert size.objects == 10
    size.learn(1_000_000)
    assert size.objects == 1
    grown = []
    for _ in range(8):
        size.learn(10)
        grown.append(size.objects)
    assert grown == [2, 4, 8, 16, 32, 64, 100, 100]


def test_a_page_that_was_refused_is_asked_for_in_parts_down_to_one_object() -> None:
    size = PageSize(LIMITS)
    asked = [size.objects]
    while size.shrink():
        asked.append(size.objects)
    assert asked == [100, 25, 6, 1]
