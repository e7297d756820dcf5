from __future__ import annotations

import socket
from pathlib import Path

from mesh.demo.sidecar import free_addresses, render_config
from proxy.config import load


def test_configuration_is_one_that_the_proxy_accepts(tmp_path: Path) -> None:
    endpoints = {"emoji": ["127.0.0.1:8001", "127.0.0.1:8002"], "voting": ["127.0.0.1:8003"]}
    file = tmp_path / "proxy.yaml"
    file.write_text(render_config("127.0.0.1:4140", "127.0.0.1:4191", endpoints))
    config = load(str(file))
    assert [cluster.name for cluster in config.clusters] == ["emoji", "voting"]
    assert len(config.routes) == 2


def test_free_addresses_differ_and_can_be_bound() -> None:
    addresses = free_addresses(8)
    assert len(set(addresses)) == 8
    for address in addresses:
        host, port = address.split(":")
        with socket.socket() as bound:
            bound.bind((host, int(port)))
