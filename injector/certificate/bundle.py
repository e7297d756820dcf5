"""The caBundles of our webhook configuration: read, compared with what they should hold, and patched.

A patch names the version that it is for: what somebody changed meanwhile is read again first.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Any

from injector.api.access import JSON_PATCH, Access, Denied
from injector.certificate.texts import is_certificate, join, split_text

_FOLDER = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


class WebhookConfiguration:
    """As it was read."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.version = str(raw["metadata"]["resourceVersion"])
        webhooks = raw.get("webhooks") or []
        self._bundles = [str(webhook["clientConfig"].get("caBundle") or "") for webhook in webhooks]

    def holds(self, authorities: Collection[str]) -> bool:
        """Whether every caBundle has them, and perhaps others."""
        wanted = join(authorities)
        return bool(self._bundles) and all(wanted <= split(bundle) for bundle in self._bundles)

    def authorities(self) -> frozenset[str]:
        """What any caBundle has that is a certificate."""
        return frozenset(text for bundle in self._bundles for text in split(bundle) if is_certificate(text))

    def make_patch(self, authorities: Collection[str]) -> list[dict[str, Any]]:
        """The JSON patch after which every caBundle has these and no others; empty if they do."""
        wanted = join(authorities)
        value = base64.b64encode("".join(f"{text}\n" for text in sorted(wanted)).encode()).decode()
        changes = [
            {"op": "add", "path": f"/webhooks/{at}/clientConfig/caBundle", "value": value}
            for at, bundle in enumerate(self._bundles)
            if split(bundle) != wanted
        ]
        version = {"op": "replace", "path": "/metadata/resourceVersion", "value": self.version}
        return [version, *changes] if changes else []


def split(bundle: str) -> set[str]:
    """The certificates of a caBundle; what is none of them comes out as it is, so that it equals nothing."""
    try:
        text = base64.b64decode(bundle).decode()
    except (binascii.Error, ValueError):
        return {bundle}
    return split_text(text)


class Bundle:
    """The configuration of this name in the cluster."""

    def __init__(self, access: Access, name: str) -> None:
        self.name = name
        self._access = access
        self._path = f"{_FOLDER}/{name}"

    async def read(self) -> WebhookConfiguration:
        """Raises Denied or Lost."""
        return WebhookConfiguration(await self._access.get(self._path))

    async def write(self, before: WebhookConfiguration, authorities: Collection[str]) -> bool:
        """Whether every caBundle is now as it should be: False if somebody else changed the configuration first."""
        patch = before.make_patch(authorities)
        if not patch:
            return True
        try:
            await self._access.call("PATCH", self._path, patch, JSON_PATCH)
        except Denied as denied:
            if denied.code == 409:
                return False
            raise
        return True
