"""Lists of ports in annotations and options."""

from __future__ import annotations

from random import Random

import pytest

from mesh.ports import read_ports


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", True),
        (" 25, 79 - 81", True),
        ("81", False),
        ("", False),
        ("web,,-,80-", False),
        ("-80", False),
        ("9" * 5000, False),
        ("80-79", False),
        ("79-99999", False),
        ("0-80", False),
        ("\u0668\u0660", False),
        ("1-65535", True),
        ("81,79-80", True),
    ],
)
def test_what_a_list_names(text: str, expected: bool) -> None:
    assert (80 in read_ports(text)) == expected


def test_what_is_no_port_is_named_and_the_rest_counts() -> None:
    ports = read_ports("web, 80, 70-60,, 65536, 443-444")
    assert ports.ranges == ((80, 80), (443, 444))
    assert ports.wrong == ("web", "70-60", "65536")


def test_equal_lists_are_equal_however_they_are_written() -> None:
    assert read_ports("3,1-2,2") == read_ports("1-3") == read_ports("2-3,1,")


def test_it_is_the_set_of_what_was_written() -> None:
    rng = Random(1)
    for _ in range(200):
        pairs = [sorted((rng.randrange(1, 60), rng.randrange(1, 60))) for _ in range(rng.randrange(8))]
        ports = read_ports(",".join(f"{first}-{last}" for first, last in pairs))
        assert {port for port in range(1, 70) if port in ports} == {
            port for first, last in pairs for port in range(first, last + 1)
        }
