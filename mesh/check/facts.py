"""What is known of a cluster, as it was fetched: the one argument of every check.

Invariant: what could not be fetched is an `Unseen` with the reason, never an empty answer; `see` turns it into
`Skipped`, which ends the check that wanted to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from mesh.install.cluster import Record

Object = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unseen:
    """A fact that may not be asked for, or that nobody answered."""

    reason: str


class Skipped(Exception):
    """A check cannot be made; the text says why."""


class Asked(NamedTuple):
    """What the command was asked: `namespace` is that of the installation, also of one that is still to come."""

    namespace: str
    is_pre: bool = False
    is_single: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """The meshed namespaces, by name, with their pods and Services."""

    namespaces: Mapping[str, Object]
    pods: tuple[Object, ...] | Unseen
    services: tuple[Object, ...] | Unseen


_NOT_ASKED: Final = Unseen("it was not asked for")


@dataclass(frozen=True, slots=True)
class Facts:
    """`trouble` is why the API cannot be asked at all; `ahead_s` is by how much its clock is ahead of ours.

    `pages` are what the control plane's pods show on their admin port, by pod; None stands for what there is not.
    """

    asked: Asked
    now: datetime
    trouble: str = ""
    version: tuple[int, int] = (0, 0)
    ahead_s: float | Unseen = _NOT_ASKED
    denied: tuple[str, ...] | Unseen = _NOT_ASKED
    elsewhere: str | Unseen = _NOT_ASKED
    namespace: Object | Unseen | None = _NOT_ASKED
    record: Record | Unseen | None = _NOT_ASKED
    deployments: tuple[Object, ...] | Unseen = _NOT_ASKED
    own_pods: tuple[Object, ...] | Unseen = _NOT_ASKED
    budgets: tuple[Object, ...] | Unseen = _NOT_ASKED
    webhook: Object | Unseen | None = _NOT_ASKED
    secret: Object | Unseen | None = _NOT_ASKED
    scope: Scope | Unseen = _NOT_ASKED
    pages: Mapping[str, Object | Unseen] | Unseen = _NOT_ASKED

    @property
    def installed(self) -> Record:
        record = see(self.record)
        if record is None:
            raise Skipped(f"nothing is installed in {self.asked.namespace}")
        return record

    @property
    def is_single(self) -> bool:
        return bool(self.installed.values.get("singleNamespace"))


def see(known: T | Unseen) -> T:
    """The fact; Skipped where it is none."""
    if isinstance(known, Unseen):
        raise Skipped(known.reason)
    return known
