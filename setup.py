"""Compiles the hot modules of the sidecar; everything else that setuptools needs is in pyproject.toml.

A module of `proxy` that has a `.pxd` beside it is plain Python that the `.pxd` types: Cython compiles it where it can,
and the same source runs as it is where there is no compiler, or where GOSSAMER_NO_COMPILE=1 asks for that.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Bounds checks are off: the modules guard every index themselves, and the tests run them both ways.
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "annotation_typing": False,
    "binding": False,  # methods without a Python object around each: smaller, and the loop calls them for every read
}
# A request runs through two dozen modules, and -O3 makes them a tenth larger and no faster (decision 21).
COMPILE_ARGS = ["-O2", "-fno-plt", "-fno-semantic-interposition", "-g0", "-w"]
LINK_ARGS = ["-s"] if sys.platform == "linux" else []  # stripped: symbols would be a third of what a pod has to load


def find_extensions() -> list[Extension]:
    """Every typed module, or none where the user wants plain Python."""
    if os.environ.get("GOSSAMER_NO_COMPILE") == "1":
        return []
    return [describe(path) for path in sorted(Path("proxy").rglob("*.py")) if path.with_suffix(".pxd").exists()]


def describe(source: Path) -> Extension:
    name = ".".join(source.with_suffix("").parts)
    return Extension(name, [str(source)], extra_compile_args=COMPILE_ARGS, extra_link_args=LINK_ARGS)


class BuildAllOrNothing(build_ext):
    """Typed modules call each other in C, so one without the other does not import: if one fails, none is built."""

    def build_extensions(self) -> None:
        try:
            self.translate()
            super().build_extensions()
        except Exception as fault:  # whatever a compiler may do, the source runs without it
            print(
                "the sidecar runs as plain Python, which is slower: no C compiler works here. On Debian: apt-get "
                "install gcc libc6-dev python3-dev, then make install again (GOSSAMER_TRACEBACK=1 shows the reason)",
                file=sys.stderr,
            )
            if os.environ.get("GOSSAMER_TRACEBACK") == "1":
                print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []

    def translate(self) -> None:
        """Turn Python into C. Here and not in setup(), so that asking for metadata does not cost a compilation."""
        from Cython.Build import cythonize

        found = cythonize(self.extensions, build_dir="build/cython", compiler_directives=DIRECTIVES, quiet=True)
        generated = {extension.name: extension for extension in found}
        for extension in self.extensions:
            extension.sources = generated[extension.name].sources
            extension.depends = [*generated[extension.name].depends, "setup.py"]


setup(ext_modules=find_extensions(), cmdclass={"build_ext": BuildAllOrNothing})
