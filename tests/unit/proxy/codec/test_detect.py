"""What a connection speaks, from its first bytes: real protocols' first words, one by one."""

from __future__ import annotations

import pytest

from proxy.codec.detect import HTTP1, HTTP2, MAX_BYTES, MORE, OPAQUE, TLS, detect, is_for_proxy
from proxy.codec.tls_hello import Hello
from tests.unit.proxy.codec.hellos import handshake, make_hello, records

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PREFACE, HTTP2),
        (PREFACE + bytes(100), HTTP2),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP1),
        (b"GET / HTTP/1.0\r\n\r\n", HTTP1),
        (b"OPTIONS * HTTP/1.1\r\n", HTTP1),
        (b"CONNECT a:443 HTTP/1.1\r\n", HTTP1),
        (b"GET http://a/b?c HTTP/1.1\r\n", HTTP1),
        (b"M-SEARCH * HTTP/1.1\r\n", HTTP1),
        (b"get /\xc3\xa9 HTTP/1.1\r\n", HTTP1),
        (b"PRI * HTTP/1.1\r\n", HTTP1),
        (b"GET / HTTP/1.9", HTTP1),
        (b"GET / HTTP/1.1\n", HTTP1),  # a parser's business
        (b"GET / HTTP/2.0\r\n", OPAQUE),
        (b"GET / HTTP/1.x\r\n", OPAQUE),
        (b"GET /\r\n", OPAQUE),  # HTTP/0.9
        (b"GET  / HTTP/1.1\r\n", OPAQUE),
        (b"GET /  HTTP/1.1\r\n", OPAQUE),
        (b"GET /a b HTTP/1.1\r\n", OPAQUE),
        (b"GET\t/ HTTP/1.1\r\n", OPAQUE),
        (b"\r\nGET / HTTP/1.1\r\n", OPAQUE),
        (b" GET / HTTP/1.1\r\n", OPAQUE),
        (b"G(T / HTTP/1.1\r\n", OPAQUE),
        (PREFACE[:-1] + b"x", OPAQUE),
        (b"PRI * HTTP/2.0\r\n\r\nXX", OPAQUE),
        (b"PING\r\n", OPAQUE),  # Redis, inline
        (b"*1\r\n$4\r\nPING\r\n", OPAQUE),  # Redis
        (b"get key\r\n", OPAQUE),  # Memcached
        (b"set key 0 0 5\r\nvalue\r\n", OPAQUE),
        (b"EHLO host.example\r\n", OPAQUE),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", OPAQUE),
        (b"INVITE sip:bob@example.com SIP/2.0\r\n", OPAQUE),
        (b"DESCRIBE rtsp://a/b RTSP/1.0\r\n", OPAQUE),
        (b'CONNECT {"verbose":false}\r\n', OPAQUE),  # NATS
        (b"AMQP\x00\x00\x09\x01", OPAQUE),
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", OPAQUE),  # PostgreSQL asks for TLS
        (b"\x10\x0c\x00\x04MQTT", OPAQUE),
        (b"\x3a\x00\x00\x00", OPAQUE),  # MongoDB
        (b"\x00\x00\x00\x2b\x00\x12\x00\x03", OPAQUE),  # Kafka
        (b"\x04\x01\x00\x00\x00", OPAQUE),  # Cassandra
        (b"\x16\x03\x01\x00\x05\x02", OPAQUE),  # a TLS server's word
        (b"\x16\x00\x00", OPAQUE),
        (b"\x80\x2e\x01\x03\x01", OPAQUE),  # SSL 2.0
        (b"x" * 33, OPAQUE),
        (b"", MORE),
        (b"P", MORE),
        (b"PRI * HTTP/", MORE),
        (PREFACE[:-1], MORE),
        (b"GE", MORE),
        (b"GET ", MORE),
        (b"GET /index.html", MORE),
        (b"GET / ", MORE),
        (b"GET / HTTP/1.", MORE),
        (b"\x16", MORE),
        (b"\x16\x03\x01\x00", MORE),
    ],
)
def test_first_words(data: bytes, kind: int) -> None:
    assert detect(data).kind == kind


def test_a_client_hello_is_tls_with_its_names() -> None:
    verdict = detect(make_hello("a.example", ("gossamer",)))
    assert verdict.kind == TLS
    assert verdict.hello == Hello("a.example", ("gossamer",))


def test_a_hello_that_does_not_parse_is_opaque() -> None:
    assert detect(records(handshake(bytes(50)))).kind == OPAQUE


def test_a_target_without_end_is_for_the_parser_to_refuse() -> None:
    line = b"GET /" + b"a" * MAX_BYTES
    assert detect(line[:2_047]) == (MORE, 2_048, None)
    assert detect(line[:2_048]).kind == HTTP1
    assert detect(line).kind == HTTP1


@pytest.mark.parametrize("data", [b"", b"PRI", b"POST", b"GET /", b"\x16\x03\x03", make_hello()[:100]])
def test_what_is_needed_is_more_than_there_is(data: bytes) -> None:
    verdict = detect(data)
    assert verdict.kind == MORE
    assert len(data) < verdict.needed <= MAX_BYTES


@pytest.mark.parametrize(
    ("line", "is_so"),
    [
        (b"CONNECT a:443 HTTP/1.1\r\n", True),
        (b"GET http://a/b HTTP/1.1\r\n", True),
        (b"GET https://a/ HTTP/1.0\r\n", True),
        (b"GET ftp://a/" + b"x" * 3_000, True),
        (b"GET / HTTP/1.1\r\n", False),
        (b"GET /http://a/ HTTP/1.1\r\n", False),
        (b"OPTIONS * HTTP/1.1\r\n", False),
        (b"CONNECTED / HTTP/1.1\r\n", False),
    ],
)
def test_what_is_said_to_a_proxy(line: bytes, is_so: bool) -> None:
    assert detect(line).kind == HTTP1
    assert is_for_proxy(line) is is_so
