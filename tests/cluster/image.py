"""Container images without a registry and without a builder: a folder becomes an archive that containerd imports."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def pack_image(archive: Path, name: str, files: Mapping[str, Path], command: Sequence[str]) -> None:
    """Write an image of one layer; `files` says what lies where in it, for example {"bin/server": Path("server")}."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for inside, path in files.items():
            tar.add(path, arcname=inside)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    encoded = json.dumps(config).encode()
    config_name, layer_name = f"{hashlib.sha256(encoded).hexdigest()}.json", f"{digest}/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}]
    with tarfile.open(archive, "w") as tar:
        add_bytes(tar, config_name, encoded)
        add_bytes(tar, layer_name, layer.getvalue())
        add_bytes(tar, "manifest.json", json.dumps(manifest).encode())
