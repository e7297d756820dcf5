"""How this installation was built: which modules of the sidecar's hot path are compiled, which are plain Python.

The same source runs both ways, so only the file that a module would be loaded from can tell.
"""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import NamedTuple

# Those that have a `.pxd`, which no wheel carries (setup.py); a test holds them together.
HOT_PACKAGES = ("proxy.balance", "proxy.codec", "proxy.metrics", "proxy.net", "proxy.relay", "proxy.relay.http1")


class Modules(NamedTuple):
    """The modules of one package by how they run; short names, sorted."""

    compiled: list[str]
    plain: list[str]


def inspect_package(package: str) -> Modules:
    """Look where each module of `package` would come from; imports the package, not its modules."""
    found = Modules([], [])
    for module in sorted(iter_modules(import_module(package).__path__)):
        if module.ispkg:
            continue
        spec = find_spec(f"{package}.{module.name}")
        is_compiled = spec is not None and (spec.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
        (found.compiled if is_compiled else found.plain).append(module.name)
    return found
