"""The protocol of a port."""

import pytest

from controlplane.graph.mesh import DETECT, GRPC, HTTP1, HTTP2, TCP, TLS
from controlplane.graph.protocol import opaque_ports, protocol


@pytest.mark.parametrize(
    ("app_protocol", "port_name", "expected"),
    [
        ("grpc", "", GRPC),
        ("GRPC", "", GRPC),
        ("kubernetes.io/h2c", "", HTTP2),
        ("kubernetes.io/ws", "", HTTP1),
        ("kubernetes.io/wss", "", TLS),
        ("http", "grpc-api", HTTP1),
        ("https", "", TLS),
        ("tcp", "http", TCP),
        ("amqp", "http-web", DETECT),
        ("", "", DETECT),
        ("", "grpc", GRPC),
        ("", "grpc-api", GRPC),
        ("", "grpcapi", DETECT),
        ("", "grpc-web", HTTP1),
        ("", "grpc-web-api", HTTP1),
        ("", "grpc-website", GRPC),
        ("", "http2-web", HTTP2),
        ("", "h2c-web", HTTP2),
        ("", "http-web", HTTP1),
        ("", "https-web", TLS),
        ("", "tls", TLS),
        ("", "tcp-db", TCP),
        ("", "web-http", DETECT),
    ],
)
def test_what_the_port_says(app_protocol: str, port_name: str, expected: str) -> None:
    assert protocol(app_protocol, port_name) == expected


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("80", True),
        (" 25, 79-81", True),
        ("81", False),
        ("", False),
        ("web,,-,80-", True),
        ("9" * 5000, False),
        ("80-79", False),
        ("79-99999", True),
        ("70000-99999", False),
    ],
)
def test_lists_of_opaque_ports(ports: str, expected: bool) -> None:
    assert bool(opaque_ports(ports)[80]) == expected
