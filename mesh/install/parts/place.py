"""The namespace of an installation, and the record of how it was made, which `mesh upgrade` starts from."""

from __future__ import annotations

from typing import Final

from mesh.contract import DISABLED, INJECT
from mesh.install.keys import KEYS
from mesh.install.parts.common import labels, metadata
from mesh.install.tree import NAMESPACE, Differs, Encoded, If, Is, Tree
from mesh.version import VERSION

RECORD: Final = "gossamer-config"
VALUE_PREFIX: Final = "values."
_COMPONENT: Final = "installation"
_LEVELS: Final = ("audit", "enforce", "warn")


def namespace() -> list[Tree]:
    restricted = {f"pod-security.kubernetes.io/{level}": "restricted" for level in _LEVELS}
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {**labels(_COMPONENT), INJECT: DISABLED, **restricted}},
    }
    return [If(Is("createNamespace"), body)]


def record() -> list[Tree]:
    """Only what differs from the defaults is kept, so that an upgrade brings new defaults."""
    changed = {f"{VALUE_PREFIX}{key.name}": If(Differs(key.name, key.default), Encoded(key.name)) for key in KEYS}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(RECORD, _COMPONENT),
            "data": {"version": VERSION, **changed},
        }
    ]
