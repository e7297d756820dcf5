from __future__ import annotations

from mesh.build import HOT_PACKAGES, inspect_package
from tests.forms import PROXY, ROOT


def test_every_package_with_typed_modules_is_told_of() -> None:
    typed = {".".join(path.parent.relative_to(ROOT).parts) for path in PROXY.rglob("*.pxd")}
    assert sorted(typed) == list(HOT_PACKAGES)


def test_packages_are_no_modules() -> None:
    found = inspect_package("proxy.net")
    assert "adapter" in found.compiled + found.plain
    assert "probe" not in found.plain
