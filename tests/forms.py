"""The two forms of the sidecar's hot modules: compiled beside their source, and the source itself.

The tests run in both. A compiled module that is older than its source would test code that is not there any more, so it
is found here and stops the session.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PROXY = ROOT / "proxy"


def find_only_source(path: str) -> FileFinder:
    """A path hook for the sidecar's packages that does not see compiled modules."""
    if not Path(path).is_relative_to(PROXY):
        raise ImportError(path)
    return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))


def use_source() -> None:
    """From now on, modules of the sidecar come from their source."""
    sys.path_hooks.insert(0, find_only_source)
    sys.path_importer_cache.clear()


@contextmanager
def source_only() -> Iterator[None]:
    """Within, the sidecar is imported anew, from source; after it, all is as it was."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "proxy"}
    use_source()
    try:
        yield
    finally:
        sys.path_hooks.remove(find_only_source)
        sys.path_importer_cache.clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "proxy"]:
            del sys.modules[name]
        sys.modules.update(before)


def import_source(*names: str) -> list[ModuleType]:
    """Second copies of modules such as `proxy.codec.hpack`, from source, to hold against the compiled ones."""
    with source_only():
        return [importlib.import_module(name) for name in names]


def find_stale() -> list[str]:
    """Compiled modules that are older than what they were made from, or that nothing makes any more."""
    return [str(module.relative_to(ROOT)) for module in sorted(PROXY.rglob("*.so")) if is_stale(module)]


def is_stale(module: Path) -> bool:
    stem = module.with_name(module.name.partition(".")[0])
    sources = [stem.with_suffix(".py"), stem.with_suffix(".pxd"), *find_shared()]
    return not all(source.exists() and source.stat().st_mtime <= module.stat().st_mtime for source in sources)


def find_shared() -> list[Path]:
    """A `.pxd` alone is C for others."""
    return [path for path in PROXY.rglob("*.pxd") if not path.with_suffix(".py").exists()]


def find_uncompiled() -> list[str]:
    """Typed modules without a compiled one beside them."""
    typed = sorted(set(PROXY.rglob("*.pxd")) - set(find_shared()))
    return [str(path.relative_to(ROOT)) for path in typed if not list(path.parent.glob(f"{path.stem}.*.so"))]
