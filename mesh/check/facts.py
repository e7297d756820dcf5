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


@dataclass(frozen=True, slots=True)
class Malformed(Unseen):
    """A fact that was seen and makes no sense."""


class Skipped(Exception):
    """A check cannot be made; the text says why."""


class Asked(NamedTuple):
    """What the command was asked: `namespace` is that of the installation, also of one that is still to come.

    `workloads` is the one namespace whose workloads are meant; empty for all.
    """

    namespace: str
    is_pre: bool = False
    is_single: bool = False
    workloads: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """The namespaces in which something is meshed, by name, with what is in them.

    Of a namespace that did not ask itself there are only the pods and workloads whose own label asks, and the Services
    that select such pods. `workloads` are what makes pods, by template; `events` say why some could not be made.
    `strays` are other namespaces that say something about the mesh.
    """

    namespaces: Mapping[str, Object]
    pods: tuple[Object, ...] | Unseen
    services: tuple[Object, ...] | Unseen
    workloads: tuple[Object, ...] | Unseen = ()
    events: tuple[Object, ...] | Unseen = ()
    strays: tuple[Object, ...] = ()


_NOT_ASKED: Final = Unseen("it was not asked for")


@dataclass(frozen=True, slots=True)
class Facts:
    """`trouble` is why the API cannot be asked at all; `ahead_s` is by how much its clock is ahead of ours.

    `pages` are what the control plane's pods show on their admin port, by pod; `guard` are the admission policy of the
    injector and its binding; None stands for what there is not.
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
    own_services: tuple[Object, ...] | Unseen = _NOT_ASKED
    budgets: tuple[Object, ...] | Unseen = _NOT_ASKED
    webhook: Object | Unseen | None = _NOT_ASKED
    guard: tuple[Object | Unseen | None, ...] = ()
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
        """Taken for one for all namespaces where that may not be seen."""
        return not isinstance(self.record, Unseen) and bool(self.installed.values.get("singleNamespace"))


def see(known: T | Unseen) -> T:
    """The fact; Skipped where it is none."""
    if isinstance(known, Unseen):
        raise Skipped(known.reason)
    return known
