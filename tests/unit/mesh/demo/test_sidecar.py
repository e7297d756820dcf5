from __future__ import annotations

import socket

from mesh.demo.sidecar import free_addresses


def test_free_addresses_differ_and_can_be_bound() -> None:
    addresses = free_addresses(8)
    assert len(set(addresses)) == 8
    for address in addresses:
        host, port = address.split(":")
        with socket.socket() as bound:
            bound.bind((host, int(port)))
