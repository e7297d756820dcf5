"""What an installation means for the sidecar: the settings of its injector, from its values.

The injector is told the same by its command line and its settings file (`mesh.install.parts.injector`). Who writes
sidecars out by hand, or checks those that are there, has no injector to ask: a single namespace has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from injector.patch import Settings
from injector.patch.settings import SYSTEM_NAMESPACES, name_control_plane
from mesh.install.keys import DEFAULTS


def make_settings(changes: Mapping[str, Any], namespace: str, version: str) -> Settings:
    """`changes` are the values that differ from the defaults; `version` is that of the installation.

    Raises the injector's Refusal where this version knows less than what is installed.
    """
    values = {**DEFAULTS, **changes}
    defaults = {
        "proxy-image": name_image(changes, version),
        "proxy-image-pull-policy": values["image.pullPolicy"],
        **values["proxy"],
    }
    own = set() if values["singleNamespace"] else {namespace}
    return Settings(
        name_control_plane(namespace, values["clusterDomain"]),
        SYSTEM_NAMESPACES | own,
        defaults,
        frozenset(values["locked"]),
    )


def name_image(changes: Mapping[str, Any], version: str) -> str:
    """The image of all parts, and of the sidecar where nothing else is said; arguments as above."""
    values = {**DEFAULTS, **changes}
    digest, tag = values["image.digest"], values["image.tag"] or version
    return f"{values['image.name']}@{digest}" if digest else f"{values['image.name']}:{tag}"
