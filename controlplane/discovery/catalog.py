"""What discovery asks of whoever knows the resources, so that it knows nothing of Kubernetes."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Protocol

from controlplane.translate.resource import Resource, View


class Catalog(Protocol):
    """The newest resources. Every answer belongs to one moment until the next change is announced."""

    def get(self, type_url: str, name: str, view: View) -> Resource | None:
        """The resource of this name, or None where there is none."""

    def keys(self, type_url: str, name: str, view: View) -> tuple[str, ...]:
        """What the answer depends on: a change of any of these keys may change it, end it, or bring it to life.

        Of the name `*`: what the wildcard depends on.
        """

    def wildcard(self, type_url: str, view: View) -> AbstractSet[str]:
        """The names that a wildcard subscription stands for."""
