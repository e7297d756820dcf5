"""The last good resources on disk, so that a sidecar that restarts serves before, or without, the control plane.

The file is one line of format, a SHA-256, then messages: the namespace, and each resource as a DeltaDiscoveryResponse.
It is replaced as a whole, is readable by its owner alone, and is only ever a beginning: what does not fit is ignored,
and the control plane has the last word: a version is only named to it where it is the hash of what is here.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable

from proxy.control.framing import Deframer, FramingError, encode_message
from proxy.control.messages import Resource
from proxy.control.wire import decode_response, encode_response
from proxy.route.message import XdsError

MAX_BYTES = 64 * 1024 * 1024
MAX_RESOURCES = 20_000
_FORMAT = b"gossamer xds cache 1\n"
_DIGEST_BYTES = 32


class CacheError(Exception):
    """The file cannot be used; why."""


def write_cache(path: str, namespace: str, resources: Iterable[Resource]) -> None:
    """OSError or CacheError where that fails; then the old file is still there."""
    messages = [namespace.encode(), *(encode_response(resource.type_url, [resource]) for resource in resources)]
    payload = b"".join([encode_message(message) for message in messages])
    if len(payload) > MAX_BYTES:
        raise CacheError(f"{len(payload)} bytes are above {MAX_BYTES}")
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb", opener=open_private) as file:
            file.write(_FORMAT + hashlib.sha256(payload).digest() + payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise


def open_private(path: str, flags: int) -> int:
    """A new file for the owner alone, never one that somebody has put there."""
    if os.path.lexists(path):
        os.unlink(path)
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def read_cache(path: str, namespace: str) -> list[Resource]:
    """What was kept; nothing where there is no file. CacheError where it cannot be used."""
    try:
        with open(path, "rb", opener=open_own) as file:
            data = file.read(MAX_BYTES + 1024)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CacheError((error.strerror or str(error)).lower()) from None
    if not data.startswith(_FORMAT):
        raise CacheError("it is of another version")
    start = len(_FORMAT) + _DIGEST_BYTES
    payload = data[start:]
    if len(payload) > MAX_BYTES or hashlib.sha256(payload).digest() != data[len(_FORMAT) : start]:
        raise CacheError("it is damaged")
    return read_payload(payload, namespace)


def open_own(path: str, flags: int) -> int:
    """A file that nobody else can have written, and that can be read without waiting."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and is_own(status)):
        return descriptor
    os.close(descriptor)
    raise CacheError("it is no file of this user's that others cannot write")


def is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def is_sound(resource: Resource) -> bool:
    """Whether the version is the body's hash, as our control plane makes it: then equal versions mean equal bodies."""
    return hashlib.sha256(resource.body).hexdigest()[:16] == resource.version


def read_payload(payload: bytes, namespace: str) -> list[Resource]:
    try:
        owner, *messages = Deframer().feed(payload)
        if owner != namespace.encode():
            raise CacheError("it is of another namespace")
        if len(messages) > MAX_RESOURCES:
            raise CacheError(f"it holds more than {MAX_RESOURCES} resources")
        return [resource for message in messages for resource in decode_response(message).resources]
    except (FramingError, XdsError, ValueError):
        raise CacheError("it is damaged") from None
