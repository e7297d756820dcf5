"""The Secret that all replicas share. Every write is a create or an update of the version that was read, so of two
replicas with the same plan one succeeds, and the other finds its work done."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from injector.api.access import Access, Denied
from injector.certificate.store import OURS, Store, is_brought, read_store
from mesh.version import VERSION

_LABEL: Final = "app.kubernetes.io/"
_TYPE: Final = "kubernetes.io/tls"  # as users' own: a Secret's type cannot be changed


class Kept(NamedTuple):
    """`version` is empty where there is no Secret. `problems` are what of it cannot be read.

    What the user has brought is never written.
    """

    store: Store
    version: str
    problems: list[str]
    secret: dict[str, Any]
    is_brought: bool


class SecretStore:
    def __init__(self, access: Access, namespace: str, name: str) -> None:
        self.name = f"{namespace}/{name}"
        self._access = access
        self._folder = f"/api/v1/namespaces/{namespace}/secrets"
        self._path = f"{self._folder}/{name}"
        self._metadata = {"name": name, "namespace": namespace}
        # By these `mesh uninstall` finds it.
        self._labels = {OURS: "webhook", f"{_LABEL}part-of": "gossamer", f"{_LABEL}instance": namespace}

    async def read(self) -> Kept:
        """Raises Denied, Lost or Foreign."""
        try:
            secret = await self._access.get(self._path)
        except Denied as denied:
            if denied.code == 404:
                return Kept(Store(), "", [], {}, is_brought=False)
            raise
        store, problems = read_store(secret)
        version = str(secret["metadata"]["resourceVersion"])
        return Kept(store, version, problems, secret, is_brought(secret))

    async def write(self, store: Store, kept: Kept) -> bool:
        """Whether it was written: False if somebody else was first."""
        metadata: dict[str, Any] = kept.secret.get("metadata") or self._metadata
        labels = {**(metadata.get("labels") or {}), **self._labels}
        annotations = {**(metadata.get("annotations") or {}), f"{OURS}-by": f"gossamer-injector/{VERSION}"}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": kept.secret.get("type", _TYPE),
            "metadata": {**metadata, "labels": labels, "annotations": annotations},
            "data": store.encode(),
        }
        try:
            if kept.version:
                await self._access.call("PUT", self._path, secret)
            else:
                await self._access.call("POST", self._folder, secret)
        except Denied as denied:
            if denied.code in (404, 409):
                return False
            raise
        return True
