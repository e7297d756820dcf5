"""What the installed injector is told, by its own command line and file, is what is read from the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from injector.configuration import Configuration
from injector.options import parse
from injector.patch import Settings
from injector.patch.settings import SYSTEM_NAMESPACES
from mesh.install.builder import build
from mesh.install.injection import make_settings
from mesh.install.parts.injector import NAME, SETTINGS
from mesh.install.values import changes_of, complete
from mesh.version import VERSION

CHANGES: list[dict[str, Any]] = [
    {},
    {"image.name": "mine/mesh", "image.tag": "7", "image.pullPolicy": "Always"},
    {"image.name": "mine/mesh", "image.tag": "7", "image.digest": f"sha256:{'0a' * 32}"},
    {"clusterDomain": "corp.example", "proxy": {"proxy-cpu-request": "1", "opaque-ports": "25"}},
    {"proxy": {"proxy-image": "other:1", "native-sidecar": "false"}},
    {"locked": ["proxy-image", "proxy-uid"]},
]


def read_installed(values: dict[str, Any], namespace: str, folder: Path) -> Settings:
    """As the injector itself reads it when it starts."""
    objects = {(item["kind"], item["metadata"]["name"]): item for item in build(values, namespace)}
    (container,) = objects["Deployment", NAME]["spec"]["template"]["spec"]["containers"]
    options = parse([*container["args"][1:], f"--namespace={namespace}"])
    file = folder / SETTINGS
    file.write_text(objects["ConfigMap", NAME]["data"][SETTINGS])
    configuration = Configuration(options.settings, str(file), options.namespace)
    configuration.open()
    return configuration.settings


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_the_settings_are_those_of_the_injector(changes: dict[str, Any], tmp_path: Path) -> None:
    values = complete({"createNamespace": True}, changes)
    found = make_settings(changes_of(values), "gossamer", VERSION)
    assert found == read_installed(values, "gossamer", tmp_path)
    assert "gossamer" in found.never


def test_a_single_namespace_is_meshed_though_the_control_plane_is_in_it() -> None:
    found = make_settings({"singleNamespace": True}, "shop", "9.9.9")
    assert found.never == SYSTEM_NAMESPACES
    assert found.control_plane == "gossamer-controlplane.shop.svc.cluster.local:4150"
    assert found.defaults["proxy-image"] == "gossamer/mesh:9.9.9"
