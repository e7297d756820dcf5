"""Each peer is told, in every protocol that it is measured with, where to listen, whom to serve, and in what."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import envoy, gossamer, haproxy, nginx
from benchmarks.peers.peer import GRPC, HTTP1, TCP, Place
from tests.requirement import require

PORTS = ("1111", "3333", "4444")


def make_place(protocol: str, folder: Path) -> Place:
    return Place(1111, 2222, (3333, 4444), folder, protocol)


@pytest.mark.parametrize(("protocol", "word"), [(GRPC, "HTTP2"), (HTTP1, "HTTP1"), (TCP, "TcpProxy")])
def test_envoy(protocol: str, word: str, tmp_path: Path) -> None:
    text = str(envoy.make_bootstrap(make_place(protocol, tmp_path)))
    assert all(port in text for port in PORTS)
    assert word in text
    assert ("http2_protocol_options" in text) == (protocol == GRPC)


@pytest.mark.parametrize(
    ("protocol", "word"), [(GRPC, "4444 proto h2\n"), (HTTP1, "http-reuse always\n"), (TCP, "mode tcp\n")]
)
def test_haproxy(protocol: str, word: str, tmp_path: Path) -> None:
    require("haproxy", "haproxy is missing: apt-get install haproxy")
    haproxy.command(make_place(protocol, tmp_path))
    text = (tmp_path / "haproxy.cfg").read_text()
    assert "bind 127.0.0.1:1111" in text
    assert "server s3333 127.0.0.1:3333" in text
    assert word in text


@pytest.mark.parametrize(("protocol", "word"), [(GRPC, "http2 backlog"), (HTTP1, "proxy_pass http://servers;")])
def test_nginx(protocol: str, word: str, tmp_path: Path) -> None:
    require("nginx", "nginx is missing: apt-get install nginx")
    nginx.command(make_place(protocol, tmp_path))
    text = (tmp_path / "nginx.conf").read_text()
    assert all(port in text for port in PORTS)
    assert word in text


@pytest.mark.parametrize(("protocol", "last"), [(GRPC, "127.0.0.1:2222"), (HTTP1, "http"), (TCP, "tcp")])
def test_gossamer(protocol: str, last: str, tmp_path: Path) -> None:
    argv = gossamer.PEER.command(make_place(protocol, tmp_path))
    assert "127.0.0.1:3333,127.0.0.1:4444" in argv
    assert argv[-1] == last
