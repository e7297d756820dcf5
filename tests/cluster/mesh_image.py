"""The image of the Dockerfile, as users build it, made without a registry: `python -m tests.cluster.mesh_image`.

buildah builds it on a base that mmdebstrap makes from Debian's packages and that carries the public name which the
Dockerfile asks for. Everything is kept in ~/.cache/gossamer/image: the base, the layers, and the finished archive, so
that only what changed is built anew. The context has fixed times: a fresh checkout finds the layers of another.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from mesh.contract import IMAGE
from mesh.version import VERSION
from tests.requirement import require

if TYPE_CHECKING:
    from tests.cluster.node import Node

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gossamer" / "image"
NAME = f"{IMAGE}:{VERSION}"
SUITE, PACKAGES = "bookworm", "python3,python3-venv,python3-dev,ca-certificates"
# As images for containers have it. The static library alone would be 60 MB.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "*/libpython*.a")
BUILD_TIMEOUT_S = 1800
# How this machine reaches its package registries is its own business, and no part of the image.
MOUNTED = ("/etc/pip.conf", "/etc/ssl/certs")
TIME_S = 1_600_000_000
_CHUNK_BYTES = 1 << 20


def require_builder() -> None:
    """Skip without what builds images; under CI, fail."""
    require(os.geteuid() == 0, "building an image needs root")
    for program in ("buildah", "mmdebstrap"):
        require(program, f"{program} is missing: apt-get install {program}")


@functools.cache
def base_name() -> str:
    """The public name of the base, without the digest: what we make ourselves cannot have that one."""
    (name,) = re.findall(r"^ARG BASE=(\S+)@sha256:[0-9a-f]{64}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return str(name)


def context_files() -> list[Path]:
    """What .dockerignore lets through."""
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    found = [
        path for name in allowed for path in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])
    ]
    return sorted(path for path in found if path.is_file() and path.suffix != ".so" and "__pycache__" not in path.parts)


def digest() -> str:
    """Changes with all that the image is made of."""
    total = hashlib.sha256(f"{SUITE} {PACKAGES} {LEFT_OUT}".encode())
    for path in context_files():
        total.update(f"\n{path.relative_to(ROOT)}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def build() -> Path:
    """The image as an archive, built if nothing like it was before."""
    require_builder()
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"mesh-{digest()}.tar"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            make_base()
            build_layers()
            write_archive(archive)
    return archive


@functools.cache
def load(node: Node) -> None:
    """Build it and give it to a node, once, as if it had been pulled."""
    node.import_archive(build())


def buildah(*arguments: str | Path) -> str:
    """Run it on a store of our own; what it says is shown where it fails."""
    store = ["--root", CACHE / "storage", "--runroot", CACHE / "run"]
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(
        ["buildah", *store, *arguments], env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"buildah {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def make_base() -> None:
    """Debian with Python, under the name of the public image."""
    mark = CACHE / f"base-{hashlib.sha256(f'{base_name()} {SUITE} {PACKAGES} {LEFT_OUT}'.encode()).hexdigest()[:16]}"
    if mark.exists():
        return
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        packed = Path(folder) / "base.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *options, SUITE, packed]
        subprocess.run(command, check=True, timeout=BUILD_TIMEOUT_S)
        container = buildah("from", "scratch").strip()
        buildah("add", "--quiet", container, packed, "/")
        buildah("commit", "--quiet", "--rm", container, base_name())
    mark.touch()


def build_layers() -> None:
    """Run the Dockerfile. Its first stage gets a name, so that its layers are kept and only stale ones are removed."""
    volumes = [f"--volume={path}:{path}:ro" for path in MOUNTED if Path(path).exists()]
    with staged_context() as context:
        common = ["build", "--pull-never", "--layers", f"--build-arg=BASE={base_name()}", *volumes]
        buildah(*common, "--target=build", f"--tag={IMAGE}-build", context)
        buildah(*common, f"--build-arg=VERSION={VERSION}", f"--tag={NAME}", context)
    buildah("rm", "--all")  # of builds that failed
    buildah("rmi", "--prune")


@contextmanager
def staged_context() -> Iterator[Path]:
    """The files of the context, with nothing that changes from checkout to checkout."""
    with tempfile.TemporaryDirectory() as folder:
        for path in context_files():
            copy = Path(folder) / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (TIME_S, TIME_S))
        yield Path(folder)


def write_archive(archive: Path) -> None:
    """Save the image and what it weighs; those of earlier sources go."""
    for old in CACHE.glob("mesh-*"):
        old.unlink()
    part = CACHE / "part.tar"
    part.unlink(missing_ok=True)
    buildah("push", "--quiet", NAME, f"docker-archive:{part}:{NAME}")
    archive.with_suffix(".json").write_text(json.dumps(weigh(part)))
    part.rename(archive)


def weigh(archive: Path) -> int:
    """What a registry would store of the layers beyond the base, in bytes."""
    with tarfile.open(archive) as packed:
        manifest = json.load(open_member(packed, "manifest.json"))
        return sum(count_compressed(open_member(packed, layer)) for layer in manifest[0]["Layers"][1:])


def open_member(packed: tarfile.TarFile, name: str) -> IO[bytes]:
    found = packed.extractfile(name)
    assert found is not None, name
    return found


def count_compressed(file: IO[bytes]) -> int:
    squeeze = zlib.compressobj(wbits=31)
    total = 0
    while chunk := file.read(_CHUNK_BYTES):
        total += len(squeeze.compress(chunk))
    return total + len(squeeze.flush())


def weight_beyond_base(archive: Path) -> int:
    """Compressed bytes that a node pulls if it has the base."""
    return int(json.loads(archive.with_suffix(".json").read_text()))


def main() -> None:
    try:
        archive = build()
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(f"tests.cluster.mesh_image: {missing}")
    print(f"{NAME}: {archive}")
    print(f"{weight_beyond_base(archive) / 1e6:.1f} MB compressed beyond its base")


if __name__ == "__main__":
    main()
