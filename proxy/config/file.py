"""Where a configuration comes from: a file, or the arguments of the short form. Every failure is a ConfigError."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from proxy.config.document import Problems, Value, read_document
from proxy.config.fields import Fields, everything_to, read_setting
from proxy.config.values import ValueProblem, listen_address, parse_address
from proxy.errors import ConfigError
from proxy.route.model import Address, Cluster, Endpoint, ProxyConfig, Settings

T = TypeVar("T")
MAX_FILE_BYTES = 1 << 20


def load(path: str) -> ProxyConfig:
    """Read and check a configuration file: at the start, and for each reload."""
    return read_file(path, Fields.read)


def load_settings(path: str) -> Settings:
    """The same of a file that has settings alone, since a control plane, or what is called, tells the rest."""
    return read_file(path, Fields.read_settings)


def read_file(path: str, read: Callable[[Fields, Value], T | None]) -> T:
    text = read_text(path)
    problems = Problems(path)
    document = read_document(text, problems)
    found = read(Fields(problems), document) if document is not None else None
    if found is None:
        raise ConfigError(str(problems))
    return found


def read_text(path: str) -> str:
    try:
        # Not blocking, since a pipe without a writer would stall the start, or the proxy on a reload.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {describe(error)}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{path}: is no regular file; give the path of a configuration file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {describe(error)}") from None
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_FILE_BYTES >> 20} MiB; a configuration is not")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{content[error.start]:02x} is not UTF-8 text; save the file as UTF-8"
        raise ConfigError(f"{path}:{line}: {problem}") from None


def describe(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return str(error)
    advice = {errno.ENOENT: "check the path", errno.EACCES: "check its permissions"}.get(error.errno or 0)
    problem = error.strerror or str(error)
    return f"{problem}; {advice}" if advice else problem


def from_arguments(listen: str, to: str, admin: str | None = None, protocol: str = "") -> ProxyConfig:
    """Make the configuration of `--listen HOST:PORT --to HOST:PORT,... [--admin HOST:PORT]`: all to one cluster."""
    config = without_clusters(listen, admin)
    cluster = Cluster("default", read_endpoints(to), protocol=protocol)
    return replace(config, clusters=(cluster,), routes=(everything_to(cluster),))


def without_clusters(listen: str, admin: str | None = None) -> ProxyConfig:
    """Make the configuration of `--listen HOST:PORT --control-plane ...`: what is called becomes known on demand."""
    listen_at = read_argument("--listen", listen)
    admin_at = None if admin is None else read_argument("--admin", admin)
    if listen_at == admin_at and listen_at.port:
        raise ConfigError(f"--admin: '{admin_at}' is the listen address too; take another port")
    return ProxyConfig(listen_at, admin_at, (), ())


def with_settings(config: ProxyConfig, texts: Iterable[str]) -> ProxyConfig:
    """The configuration with what `--set NAME=VALUE` says, each a field of `settings`, over those of a file."""
    chosen: dict[str, Any] = {}
    for text in texts:
        try:
            field, value = read_setting(text)
        except ValueProblem as problem:
            raise ConfigError(f"--set: {problem}") from None
        if field in chosen:
            raise ConfigError(f"--set: '{text.partition('=')[0]}' is given twice")
        chosen[field] = value
    return replace(config, settings=replace(config.settings, **chosen))


def read_argument(name: str, text: str) -> Address:
    try:
        return listen_address(text)
    except ValueProblem as problem:
        raise ConfigError(f"{name}: {problem}") from None


def read_endpoints(to: str) -> tuple[Endpoint, ...]:
    found: list[Endpoint] = []
    for text in to.split(","):
        try:
            address = parse_address(text.strip())
        except ValueProblem as problem:
            raise ConfigError(f"--to: {problem}") from None
        endpoint = Endpoint(address.host, address.port)
        if endpoint in found:
            raise ConfigError(f"--to: '{endpoint}' is given twice")
        found.append(endpoint)
    return tuple(found)
