"""The protocol of a port."""

import pytest

from controlplane.graph.mesh import DETECT, GRPC, HTTP1, HTTP2, NOT_OPAQUE, TCP, TLS
from controlplane.graph.protocol import declared, protocol
from mesh.ports import read_ports


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
        ("linkerd.io/opaque", "", TCP),
        ("", "smtp", TCP),
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
    ("said", "opaque", "expected"),
    [
        (GRPC, None, GRPC),
        (DETECT, None, DETECT),
        (GRPC, "80", TCP),
        (GRPC, "81", GRPC),
        (DETECT, "70-90", TCP),
        (DETECT, "81", NOT_OPAQUE),
        (DETECT, "", NOT_OPAQUE),
    ],
)
def test_an_annotation_has_the_last_word(said: str, opaque: str | None, expected: str) -> None:
    assert declared(said, 80, None if opaque is None else read_ports(opaque)) == expected
