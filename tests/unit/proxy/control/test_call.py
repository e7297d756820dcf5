"""The ADS stream as bytes: what is said to the server, and each way in which it may end."""

from __future__ import annotations

import pytest

from proxy.control.call import Call
from proxy.control.framing import MAX_MESSAGE_BYTES, encode_message
from tests.playbook.voice import GRPC_RESPONSE, Headers, Heard, Voice

INITIAL_WINDOW_SIZE = 4


class Server:
    """The far end of a call."""

    def __init__(self, settings: dict[int, int] | None = None) -> None:
        self.call = Call("control:4150", tls=False)
        self.voice = Voice(is_client=False)
        self.call.start()
        self.say(self.voice.opening(settings))

    def say(self, data: bytes) -> list[Heard]:
        buffer = bytearray(data)
        assert self.call.feed(buffer, 0, len(buffer), 100.0) == len(buffer)
        return self.hear()

    def hear(self) -> list[Heard]:
        heard: list[Heard] = []
        while self.call.out:
            heard += self.voice.hear(self.call.take())
            self.call.pump()
        return heard

    def accept(self) -> None:
        self.say(self.voice.headers(1, GRPC_RESPONSE))

    def data(self, payload: bytes) -> list[Heard]:
        """As frames, within the windows that we were granted."""
        heard: list[Heard] = []
        for at in range(0, len(payload), 16_384):
            piece = payload[at : at + 16_384]
            assert len(piece) <= self.voice.own_window(1), "no window left"
            heard += self.say(self.voice.data(1, piece))
        return heard


def test_the_call_begins_when_the_server_has_shown_that_it_speaks_http2() -> None:
    call = Call("control:4150", tls=False)
    call.start()
    voice = Voice(is_client=False)
    assert [heard.kind for heard in voice.hear(call.take())] == ["SETTINGS", "WINDOW_UPDATE"]
    assert not call.is_writable()
    buffer = bytearray(voice.opening())
    call.feed(buffer, 0, len(buffer), 1.0)
    [head] = [heard for heard in voice.hear(call.take()) if heard.kind == "HEADERS"]
    assert call.is_writable()
    assert not head.end
    fields = dict(head.headers)
    assert fields.pop("user-agent").startswith("gossamer/")
    assert fields == {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        ":authority": "control:4150",
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity",
    }


def test_messages_both_ways() -> None:
    server = Server()
    server.accept()
    server.call.send_message(b"hello")
    assert [heard.data for heard in server.hear()] == [encode_message(b"hello")]
    server.data(encode_message(b"one") + encode_message(b"two"))
    assert [server.call.take_message(), server.call.take_message()] == [b"one", b"two"]


def test_a_large_message_waits_for_windows_and_nothing_is_added_meanwhile() -> None:
    server = Server({INITIAL_WINDOW_SIZE: 20_000})
    server.accept()
    message = bytes(range(256)) * 400
    server.call.send_message(message)
    heard = server.hear()
    assert not server.call.is_writable()
    while not server.call.is_writable():
        heard += server.say(server.voice.window(1, 10_000) + server.voice.window(0, 10_000))
    assert b"".join(one.data for one in heard if one.kind == "DATA") == encode_message(message)


def test_the_largest_message_comes_through_a_smaller_window() -> None:
    server = Server()
    server.accept()
    server.data(encode_message(bytes(MAX_MESSAGE_BYTES)))
    assert server.call.take_message() == bytes(MAX_MESSAGE_BYTES)
    assert server.call.failure == ""


def test_messages_that_nobody_takes_close_the_window() -> None:
    server = Server()
    server.accept()
    message = encode_message(bytes(100_000))
    count = 0
    while server.voice.own_window(1) >= len(message):
        server.data(message)
        count += 1
    assert count <= 25
    while server.call.messages:
        server.call.take_message()
    server.hear()
    assert server.voice.own_window(1) > 500_000


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(":status", "503")], "it answered with HTTP status 503"),
        ([(":status", "200"), ("content-type", "text/html")], "it does not speak gRPC"),
        ([(":status", "200")], "it does not speak gRPC"),
    ],
)
def test_an_answer_that_is_no_call(headers: Headers, reason: str) -> None:
    server = Server()
    server.say(server.voice.headers(1, headers))
    assert server.call.failure == reason
    assert server.call.closed


def test_an_answer_of_trailers_alone() -> None:
    server = Server()
    trailers = [*GRPC_RESPONSE, ("grpc-status", "14"), ("grpc-message", "not yet: 50%25%0Aready")]
    server.say(server.voice.headers(1, trailers, end=True))
    assert server.call.failure == "it ended the stream with gRPC status 14: not yet: 50% ready"


def test_trailers_after_messages() -> None:
    server = Server()
    server.accept()
    server.data(encode_message(b"last"))
    server.say(server.voice.headers(1, [("grpc-status", "0")], end=True))
    assert server.call.failure == "it ended the stream with gRPC status 0"
    assert server.call.take_message() == b"last"


def test_no_status_at_all() -> None:
    server = Server()
    server.accept()
    server.say(server.voice.data(1, b"", end=True))
    assert server.call.failure == "it ended the stream without a status"


def test_interim_responses_are_passed_over() -> None:
    server = Server()
    server.say(server.voice.headers(1, [(":status", "103")]))
    server.accept()
    server.data(encode_message(b"one"))
    assert server.call.take_message() == b"one"


def test_a_reset() -> None:
    server = Server()
    server.accept()
    server.say(server.voice.rst(1, 11))
    assert server.call.failure == "it reset the stream (HTTP/2 error 11)"


@pytest.mark.parametrize(("code", "calm", "leaving"), [(0, False, True), (2, False, False), (11, True, False)])
def test_goaway(code: int, calm: bool, leaving: bool) -> None:
    server = Server()
    server.accept()
    server.say(server.voice.goaway(1, code))
    assert server.call.failure
    assert (server.call.calm, server.call.leaving) == (calm, leaving)


def test_http1() -> None:
    call = Call("control:4150", tls=False)
    call.start()
    buffer = bytearray(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    call.feed(buffer, 0, len(buffer), 1.0)
    assert call.closed
    call.lost("gone", 1.0)
    assert call.failure == "it broke HTTP/2: frame above SETTINGS_MAX_FRAME_SIZE"


def test_a_compressed_message() -> None:
    server = Server()
    server.accept()
    heard = server.data(b"\x01\x00\x00\x00\x01x")
    assert "compressed" in server.call.failure
    assert [one.kind for one in heard] == ["RST_STREAM"]


def test_the_first_reason_counts_and_is_one_line() -> None:
    server = Server()
    server.call.end("first\nof\x1b all " + "x" * 1_000)
    server.call.end("second")
    server.call.lost("third", 1.0)
    assert server.call.failure.startswith("first of  all xxx")
    assert len(server.call.failure) == 300


def test_tls_has_its_own_scheme() -> None:
    call = Call("control:4150", tls=True)
    voice = Voice(is_client=False)
    call.start()
    buffer = bytearray(voice.opening())
    call.feed(buffer, 0, len(buffer), 1.0)
    [head] = [heard for heard in voice.hear(call.take()) if heard.kind == "HEADERS"]
    assert head.header(":scheme") == "https"
