from __future__ import annotations

import pytest

from injector.webhook.room import Full, Room


def test_who_holds_most_gives_way_to_who_holds_less() -> None:
    gone: list[str] = []
    room = Room(100)
    with room.share(lambda: gone.append("large")) as large, room.share(lambda: gone.append("small")) as small:
        large.hold(60)
        small.hold(30)
        assert gone == []
        small.hold(20)
        assert gone == ["large"]
        small.hold(40)
        with pytest.raises(Full):
            large.hold(1)
        with pytest.raises(Full):
            small.hold(20)
        assert gone == ["large"]


def test_nobody_gives_way_to_who_would_hold_as_much() -> None:
    room = Room(100)
    with room.share(lambda: None) as first, room.share(lambda: None) as second:
        first.hold(60)
        with pytest.raises(Full):
            second.hold(60)
        first.hold(40)


def test_what_is_over_gives_its_room_back() -> None:
    room = Room(100)
    for _ in range(3):
        with room.share(lambda: None) as share:
            share.hold(100)
    assert not room.shares
