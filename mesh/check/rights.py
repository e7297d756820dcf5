"""What whoever installs must be allowed: to make every object, and to hold every right that its roles give away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from mesh.install.builder import build
from mesh.install.cluster import PLACES
from mesh.install.values import complete

_VERBS: Final = ("get", "create", "patch")


class Right(NamedTuple):
    """One question of a SelfSubjectAccessReview; an empty `namespace` means all of them."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""

    def attributes(self) -> dict[str, str]:
        given = self._asdict()
        return {key: value for key, value in given.items() if value}

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f"/{self.name}" if self.name else "")


def list_rights(namespace: str, is_single: bool) -> list[Right]:
    """For what `mesh install` prints by default, each once, in order."""
    own = {"singleNamespace": True} if is_single else {"createNamespace": True}
    objects = build(complete(own), namespace)
    return list(dict.fromkeys(right for item in objects for right in (*to_apply(item), *to_grant(item))))


def to_apply(item: dict[str, Any]) -> Iterator[Right]:
    place = next(place for place in PLACES if place.kind == item["kind"])
    group = place.api_version.rpartition("/")[0]
    for verb in _VERBS:
        yield Right(verb, group, place.plural, item["metadata"].get("namespace", ""))


def to_grant(item: dict[str, Any]) -> Iterator[Right]:
    """Nobody may give rights away that he does not have (RBAC's escalation prevention)."""
    for rule in item.get("rules", []):
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    for verb in rule["verbs"]:
                        yield Right(verb, group, resource, item["metadata"].get("namespace", ""), name)
