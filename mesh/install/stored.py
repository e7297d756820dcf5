"""What an upgrade starts from: the values of the installation's record, made to fit this version and the cluster's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mesh.install.keys import BY_NAME, Kind
from mesh.install.parts import guard
from mesh.install.parts.place import RECORD
from mesh.install.saying import Refused, warn
from mesh.install.values import check
from mesh.version import VERSION

if TYPE_CHECKING:
    from mesh.install.cluster import Record


def take_stored(record: Record, changes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The values as they were given then. Those that this version does not know are left out, aloud.

    One that is wrong, since the record was edited by hand, is no reason to refuse the change that mends it.
    """
    if as_numbers(record.version) > as_numbers(VERSION):
        raise Refused(f"Gossamer {record.version} is installed, and this is {VERSION}; use the newer mesh")
    unknown = sorted(record.values.keys() - BY_NAME.keys())
    if unknown:
        warn(f"no longer known, and left out: {', '.join(unknown)}")
    mended = {name for change in changes for name in change if BY_NAME[name].kind is not Kind.MAP}
    return {
        name: check(name, given, f"ConfigMap {RECORD} (--set {name}=... mends it)")
        for name, given in record.values.items()
        if name in BY_NAME and name not in mended
    }


def as_numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def fit(values: dict[str, Any], version: tuple[int, int]) -> None:
    """Leave out what a cluster of this version does not know."""
    if version >= guard.MINIMUM_VERSION or not values[guard.ENABLED] or not has_injector(values):
        return
    values[guard.ENABLED] = False
    newer = ".".join(map(str, guard.MINIMUM_VERSION))
    warn(
        f"the cluster is older than Kubernetes {newer}: without a ValidatingAdmissionPolicy, whoever steals the "
        f"injector's token can redirect its webhook; then mesh upgrade --set {guard.ENABLED}=true"
    )


def has_injector(values: Mapping[str, Any]) -> bool:
    return bool(values["injector.enabled"] and not values["singleNamespace"])


def warn_of_pins(record: Record, changes: list[dict[str, Any]]) -> None:
    """An image that was chosen once is kept, while everything else is of this version."""
    given = {name for change in changes for name in change}
    pins = [name for name in ("image.tag", "image.digest") if record.values.get(name) and name not in given]
    if not pins or record.version == VERSION:
        return
    kept = ", ".join(f"{name} stays {record.values[name]}" for name in pins)
    follow = " ".join(f"--set {name}=" for name in pins)
    warn(f"{kept}, as it was set, though Gossamer {record.version} becomes {VERSION}; {follow} lets the image follow")
