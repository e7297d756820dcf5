"""Reads the values of annotations: text as people write it, checked before it reaches a container's command line.

A value that cannot be meant is a ValueError; the sentence about it is the caller's, who knows where it stands. The
sidecar reads subnets and durations again, by the same rules (`proxy.init.settings`, `proxy.life.settings`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from ipaddress import ip_network

from mesh.ports import read_ports

UID_MAX = 2**32 - 2  # the last one means "none" to the kernel
WORKERS_MAX = 64
_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)", re.ASCII)
_DURATION_MAX_S = 3600
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{0,9})?|\.\d{1,9})(m|k|Ki|M|Mi|G|Gi|T|Ti|)", re.ASCII)
_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGT", 1)},
}
_IMAGE = re.compile(r"[A-Za-z0-9][\w./:@\[\]-]{0,499}", re.ASCII)


def parse_flag(text: str) -> bool:
    return {"true": True, "false": False}[parse_choice("true", "false")(text)]


def parse_choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return parse


def parse_uid(text: str) -> int:
    """Not 0: what root sends would pass the sidecar by."""
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= UID_MAX:
        raise ValueError(text)
    return int(text)


def parse_workers(text: str) -> int:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= WORKERS_MAX:
        raise ValueError(text)
    return int(text)


def parse_ports(text: str) -> str:
    """`25, 8000-8100` in order, without what is too much."""
    found = read_ports(text)
    if found.wrong:
        raise ValueError(text)
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found.ranges)


def parse_subnets(text: str) -> str:
    return ",".join(parse_subnet(item) for item in split(text))


def parse_subnet(item: str) -> str:
    if "%" in item:  # a scope, which only means something on a link
        raise ValueError(item)
    return str(ip_network(item, strict=False))


def split(text: str) -> Iterator[str]:
    """The items between commas. One comma too many is no item, as in an annotation that a template filled."""
    return (item.strip() for item in text.split(",") if item.strip())


def parse_duration(text: str) -> str:
    if text in ("0", "0s"):
        return "0s"
    found = _DURATION.fullmatch(text)
    if not found or not Decimal("0.001") <= Decimal(found[1]) * _UNITS[found[2]] <= _DURATION_MAX_S:
        raise ValueError(text)
    return text


def read_duration_s(text: str) -> float:
    """What `parse_duration` has let through."""
    found = _DURATION.fullmatch(text)
    return float(Decimal(found[1]) * _UNITS[found[2]]) if found else 0.0


def parse_quantity(text: str) -> str:
    if read_quantity(text) <= 0:
        raise ValueError(text)
    return text


def read_quantity(text: str) -> Decimal:
    """An amount as Kubernetes writes it, `100m` or `64Mi`."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise ValueError(text)
    return Decimal(found[1]) * _SUFFIXES[found[2]]


def parse_image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise ValueError(text)
    return text
