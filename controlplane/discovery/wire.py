"""Responses as bytes, made once and shared by all streams that get the same.

The messages are framed by hand (a tag, a length, the bytes: three fields deep), so that a resource's bytes are copied
and never parsed. Tests compare with the generated classes. A nonce only has to be unique within its stream: a response
is shared with every stream whose last nonce is older, and made anew, under a new nonce, for the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from controlplane.translate.resource import Resource

_SHARED_BYTES_MAX = 8 << 20


def encode_field(number: int, value: bytes) -> bytes:
    """One length-delimited field."""
    return bytes((number << 3 | 2,)) + encode_varint(len(value)) + value


def encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_any(resource: Resource) -> bytes:
    """google.protobuf.Any."""
    return encode_field(1, resource.type_url.encode()) + encode_field(2, resource.body)


def encode_named(resource: Resource) -> bytes:
    """envoy.service.discovery.v3.Resource."""
    version, name = encode_field(1, resource.version.encode()), encode_field(3, resource.name.encode())
    return version + encode_field(2, encode_any(resource)) + name


def encode_delta(type_url: str, version: str, resources: Sequence[Resource], removed: Sequence[str]) -> bytes:
    """DeltaDiscoveryResponse, still without its nonce."""
    parts = [encode_field(1, version.encode())]
    parts += [encode_field(2, encode_named(resource)) for resource in resources]
    parts.append(encode_field(4, type_url.encode()))
    parts += [encode_field(6, name.encode()) for name in removed]
    return b"".join(parts)


def encode_sotw(type_url: str, version: str, resources: Sequence[Resource]) -> bytes:
    """DiscoveryResponse, still without its nonce."""
    parts = [encode_field(1, version.encode())]
    parts += [encode_field(2, encode_any(resource)) for resource in resources]
    parts.append(encode_field(4, type_url.encode()))
    return b"".join(parts)


def hash_versions(resources: Sequence[Resource]) -> str:
    """The version of resources together: the same on every replica that has the same."""
    text = "\n".join(sorted(f"{resource.name} {resource.version}" for resource in resources))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Responses:
    """Gives the bytes of a response and its nonce."""

    def __init__(self) -> None:
        self._nonce = 0
        self._shared: dict[tuple[object, ...], tuple[int, bytes]] = {}
        self._shared_bytes = 0

    def delta(
        self, type_url: str, resources: Sequence[Resource], removed: Sequence[str], after: int
    ) -> tuple[int, bytes]:
        """A DeltaDiscoveryResponse whose nonce is newer than `after`."""
        key = (True, type_url, tuple([resource.version for resource in resources]), tuple(removed))
        found = self._shared.get(key)
        if found is not None and found[0] > after:
            return found
        return self._share(key, encode_delta(type_url, hash_versions(resources), resources, removed))

    def sotw(self, type_url: str, resources: Sequence[Resource], after: int) -> tuple[int, bytes]:
        """A DiscoveryResponse whose nonce is newer than `after`."""
        key = (False, type_url, tuple([resource.version for resource in resources]))
        found = self._shared.get(key)
        if found is not None and found[0] > after:
            return found
        return self._share(key, encode_sotw(type_url, hash_versions(resources), resources))

    def _share(self, key: tuple[object, ...], body: bytes) -> tuple[int, bytes]:
        self._nonce += 1
        data = body + encode_field(5, encode_nonce(self._nonce).encode())
        if self._shared_bytes > _SHARED_BYTES_MAX:
            self._shared.clear()
            self._shared_bytes = 0
        self._shared_bytes += len(data)
        self._shared[key] = made = (self._nonce, data)
        return made


def encode_nonce(nonce: int) -> str:
    return f"{nonce:x}"
