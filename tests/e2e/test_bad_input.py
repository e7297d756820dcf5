"""Bad input of every kind ends in a clear error or a correct protocol error: never a traceback, never a hang.

The absence of tracebacks is asserted at the end of every proxy (see Proxy.check); hangs by timeouts.
"""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from tests.e2e.calls import ask, open_channel, path
from tests.e2e.processes import HOST, GrpcBackend, free_port
from tests.e2e.proxy_process import Proxy, run_to_end, write_config
from tests.e2e.wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HANG_S,
    HEADERS,
    MAX_WINDOW,
    PING,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Client,
    Server,
    encode_frame,
    encode_settings,
)

pytestmark = pytest.mark.timeout(90)

PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 1, 2, 3, 6, 9


# Wrong usage and wrong configuration


def assert_usage_error(outcome: tuple[int, str, str], *said: str) -> None:
    """Exit code 2, nothing on stdout, and a short text on stderr that names what is wrong."""
    code, stdout, stderr = outcome
    assert (code, stdout) == (2, ""), stderr
    assert "Traceback" not in stderr
    assert len(stderr.splitlines()) <= 6, stderr
    for part in said:
        assert part in stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--listen"),
        (["--listen", "127.0.0.1:0"], "--to"),
        (["--to", "127.0.0.1:1"], "--listen"),
        (["--config", "x.yaml", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"], "--config"),
        (["--config", "x.yaml", "--to", "127.0.0.1:1"], "--config"),
        (["--config", "/no/such/file.yaml"], "/no/such/file.yaml"),
        (["--config", "/"], "/: "),
        (["--config", "/dev/null"], "/dev/null"),
        (["--listen", "127.0.0.1", "--to", "127.0.0.1:1"], "--listen"),
        (["--listen", "127.0.0.1:65536", "--to", "127.0.0.1:1"], "65536"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:http"], "--to"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:0"], "--to"),
        (["--listen", "127.0.0.1:0", "--to", ","], "--to"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1,127.0.0.1:1"], "127.0.0.1:1"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--workers", "0"], "--workers"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--workers", "many"], "--workers"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--colour"], "--colour"),
    ],
    ids=" ".join,
)
def test_wrong_arguments(options: list[str], said: str) -> None:
    assert_usage_error(run_to_end(*options), said)


GOOD = """\
listen: 127.0.0.1:0
clusters:
  - name: a
    endpoints: [127.0.0.1:1]
routes:
  - cluster: a
"""


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "empty"),
        ("[]", 1, "listen"),
        (GOOD + "colour: red\n", 7, "colour"),
        (GOOD.replace("clusters", "cluster"), None, "clusters"),
        (GOOD.replace("127.0.0.1:0", "127.0.0.1"), 1, "listen"),
        (GOOD.replace("127.0.0.1:0", "[127.0.0.1"), None, "proxy.yaml"),
        (GOOD.replace("127.0.0.1:1", "127.0.0.1:99999"), 4, "clusters[0].endpoints[0]"),
        (GOOD.replace("[127.0.0.1:1]", "[]"), 4, "endpoints"),
        (GOOD.replace("- cluster: a", "- cluster: b"), 6, "routes[0].cluster"),
        (GOOD + "    timeout: soon\n", 7, "routes[0].timeout"),
        (GOOD + "    match: {path: {suffix: /x}}\n", 7, "suffix"),
        (GOOD + "settings: {idle_timeout: -1s}\n", 7, "idle_timeout"),
        (GOOD + "settings: {drain_timout: 1s}\n", 7, "drain_timeout"),
        (GOOD + "\tx: 1\n", 7, ""),
        (GOOD + "listen: 127.0.0.1:2\n", 7, "listen"),
        ("a: &a [*a, *a]\n", 1, ""),
        ("{" * 10_000, 1, ""),
        ("\x00\x01", 1, ""),
    ],
)
def test_a_wrong_configuration_names_the_line_and_the_field(
    text: str, line: int | None, said: str, tmp_path: Path
) -> None:
    config = tmp_path / "proxy.yaml"
    config.write_text(text)
    place = str(config) if line is None else f"{config}:{line}"
    assert_usage_error(run_to_end("--config", str(config)), place, said)


def test_a_configuration_that_is_not_text(tmp_path: Path) -> None:
    config = tmp_path / "proxy.yaml"
    config.write_bytes(GOOD.encode() + b"# \xff\xfe\n")
    assert_usage_error(run_to_end("--config", str(config)), f"{config}:7", "UTF-8")


@pytest.mark.parametrize("option", ["--listen", "--admin"])
def test_a_port_in_use(option: str) -> None:
    with socket.create_server((HOST, 0)) as other:
        taken = f"{HOST}:{other.getsockname()[1]}"
        addresses = {"--listen": f"{HOST}:{free_port()}", "--admin": f"{HOST}:{free_port()}", option: taken}
        options = [part for item in addresses.items() for part in item]
        code, _, stderr = run_to_end(*options, "--to", f"{HOST}:1")
    assert code == 1
    assert "Traceback" not in stderr
    assert re.search(rf"cannot listen on (the admin address )?{taken}: .*in use", stderr)


def test_an_address_that_is_not_ours() -> None:
    code, _, stderr = run_to_end("--listen", "192.0.2.1:4140", "--to", f"{HOST}:1")
    assert code == 1
    assert "192.0.2.1:4140" in stderr
    assert "Traceback" not in stderr


async def test_a_name_that_does_not_resolve() -> None:
    """Names may begin to resolve later, so the proxy runs; its log and its answers say what is the matter."""
    with Proxy(["no-such-host.invalid:80"], until="/live") as proxy:
        async with open_channel(proxy.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(channel, timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert proxy.admin_status("/ready") == 200
        assert "no-such-host.invalid" in proxy.stderr


def test_help_is_no_error() -> None:
    code, stdout, stderr = run_to_end("--help")
    assert (code, stderr) == (0, "")
    assert "--listen" in stdout


# Bad bytes from a client


def read_to_end(sock: socket.socket) -> bytes:
    """All that the proxy sends until it closes; a hang is a failure."""
    sock.settimeout(HANG_S)
    received = b""
    try:
        while part := sock.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def goaway_codes(received: bytes) -> list[int]:
    """The error codes of the GOAWAYs in a byte string of whole frames."""
    codes, at = [], 0
    while at + 9 <= len(received):
        length = int.from_bytes(received[at : at + 3], "big")
        if received[at + 3] == GOAWAY:
            codes.append(int.from_bytes(received[at + 13 : at + 17], "big"))
        at += 9 + length
    assert at == len(received), "a frame is cut off"
    return codes


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(508),
        b"\n",
    ],
    ids=["wrong-preface", "http11-after-preface", "tls", "newline"],
)
def test_another_protocol_is_refused(proxy: Proxy, request_bytes: bytes) -> None:
    """Only HTTP without TLS is spoken here: GOAWAY(PROTOCOL_ERROR or FRAME_SIZE_ERROR), and the end."""
    with socket.create_connection((HOST, proxy.port)) as sock:
        sock.sendall(request_bytes)
        codes = goaway_codes(read_to_end(sock))
    assert codes, "closed without a word"
    assert set(codes) <= {PROTOCOL_ERROR, FRAME_SIZE_ERROR}


def test_http_1_to_endpoints_that_do_not_speak_it_gets_an_answer_that_says_why(proxy: Proxy) -> None:
    with socket.create_connection((HOST, proxy.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = read_to_end(sock)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"gossamer-error: " in answer


def test_random_bytes(proxy: Proxy) -> None:
    """At the start of a connection, and after a good preface; each ends, or waits for more, and harms nobody."""
    rng = random.Random(7540)
    for number in range(100):
        with socket.create_connection((HOST, proxy.port)) as sock:
            if number % 2:
                sock.sendall(PREFACE + encode_settings({}))
            try:
                sock.sendall(rng.randbytes(rng.randrange(1, 3000)))
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has refused them already
            read_to_end(sock)
    assert proxy.admin_status("/ready") == 200


def test_any_truncation_of_a_conversation(proxy: Proxy) -> None:
    """A connection that ends after each of its bytes; none may be left open."""
    with Client(proxy.address) as client:
        block = client.encoder.encode(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path("unary")),
                (":authority", "x"),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            ]
        )
    whole = PREFACE + encode_settings({}) + encode_frame(HEADERS, END_HEADERS, 1, block)
    whole += encode_frame(DATA, END_STREAM, 1, b"\0\0\0\0\3abc")
    for end in range(len(whole) + 1):
        with socket.create_connection((HOST, proxy.port)) as sock:
            sock.sendall(whole[:end])
            sock.shutdown(socket.SHUT_WR)
            read_to_end(sock)


HANDSHAKE = PREFACE + encode_settings({})


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (encode_frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (encode_frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
        (encode_frame(HEADERS, END_HEADERS, 2, b"\x82"), PROTOCOL_ERROR),
        (encode_frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"), COMPRESSION_ERROR),
        (encode_frame(HEADERS, 0, 1, b"\x82") + encode_frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),
        (encode_frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL_ERROR),
        (encode_frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82"), PROTOCOL_ERROR),
        (encode_frame(PING, 0, 0, b"short"), FRAME_SIZE_ERROR),
        (encode_frame(SETTINGS, 0, 0, b"\0"), FRAME_SIZE_ERROR),
        (encode_settings({4: 2**31}), FLOW_CONTROL_ERROR),
        (encode_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", MAX_WINDOW)), FLOW_CONTROL_ERROR),
        (encode_frame(WINDOW_UPDATE, 0, 0, bytes(4)), PROTOCOL_ERROR),
        (b"\xff\xff\xff" + bytes(6), FRAME_SIZE_ERROR),
    ],
)
def test_a_connection_error_is_told_and_stays_with_its_connection(frames: bytes, code: int) -> None:
    """The stream of another client, on the same upstream connection, goes on."""
    with Server() as server, Proxy([server.address]) as proxy:
        with Client(proxy.address) as other, socket.create_connection((HOST, proxy.port)) as sock:
            other.exchange("/headers")
            sock.sendall(HANDSHAKE + frames)
            assert goaway_codes(read_to_end(sock)) == [code]
            assert other.exchange("/bytes/1000")[2] == {"grpc-status": "0"}
            assert (len(server.connections), other.goaways) == (1, [])


# A request that is malformed is a stream error; the connection and its other streams go on.
PSEUDO = [(":method", "POST"), (":scheme", "http"), (":path", "/headers"), (":authority", "x")]


@pytest.mark.parametrize(
    "headers",
    [
        PSEUDO[1:],
        PSEUDO[:2],
        [*PSEUDO, (":path", "/again")],
        [*PSEUDO[:3], ("x", "y"), PSEUDO[3]],
        [*PSEUDO, ("Upper", "case")],
        [*PSEUDO, ("connection", "keep-alive")],
        [*PSEUDO, ("te", "gzip")],
        [*PSEUDO, ("transfer-encoding", "chunked")],
        [*PSEUDO, ("x", "a\r\nb: c")],
        [*PSEUDO, ("x", "a\0b")],
        [*PSEUDO, ("x y", "z")],
        [*PSEUDO, ("", "empty")],
        [*PSEUDO, (":status", "200")],
        [*PSEUDO[:2], (":path", ""), PSEUDO[3]],
    ],
)
def test_a_malformed_request_never_reaches_a_backend(
    headers: list[tuple[str, str]], wire_pair: tuple[Server, Proxy]
) -> None:
    server, proxy = wire_pair
    with Client(proxy.address) as client:
        before = server.opened
        client.send_headers(1, headers, end=False)
        frame = next(frame for frame in client.frames() if frame.kind != WINDOW_UPDATE)
        assert (frame.kind, frame.stream, frame.payload) == (RST_STREAM, 1, struct.pack(">I", PROTOCOL_ERROR))
        client.next_stream = 3  # the one above was opened by hand
        assert client.exchange("/bytes/1000")[2] == {"grpc-status": "0"}
        assert server.opened == before + 1


@pytest.fixture(scope="module")
def wire_pair() -> Iterator[tuple[Server, Proxy]]:
    with Server() as server, Proxy([server.address]) as proxy:
        yield server, proxy


def test_a_connection_that_says_nothing_more_is_closed(tmp_path: Path, backends: list[GrpcBackend]) -> None:
    """Silence at any point of the handshake, and after it, ends with the idle timeout."""
    where = f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"
    config = write_config(tmp_path / "proxy.yaml", *where, {"echo": [backends[0].address]})
    with config.open("a") as file:
        file.write("settings:\n  idle_timeout: 1s\n")
    with Proxy(config=config) as proxy, ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection((HOST, proxy.port))) for _ in range(5)]
        starts = [b"", PREFACE[:10], PREFACE, PREFACE + encode_settings({})[:5], HANDSHAKE]
        for sock, start in zip(sockets, starts, strict=True):
            sock.sendall(start)
        assert all(set(goaway_codes(read_to_end(sock))) <= {0} for sock in sockets)


# Bad bytes from a backend


@contextmanager
def canned_backend(answer: bytes, close: bool) -> Iterator[str]:
    """A server that answers the first bytes of each connection with always the same; its address."""
    listener = socket.create_server((HOST, 0), backlog=64)
    sockets: list[socket.socket] = []

    def answer_one(sock: socket.socket) -> None:
        try:
            # After the preface and SETTINGS, so that a request can be on its way when the answer comes.
            while sock.recv(65536):
                sock.sendall(answer)
                if close:
                    sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sockets.append(sock)
            threads.append(threading.Thread(target=answer_one, args=(sock,)))
            threads[-1].start()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield f"{HOST}:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        threads[0].join()
        for sock in sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in threads[1:]:
            thread.join()
        for sock in sockets:
            sock.close()


SERVER_HELLO = encode_settings({}) + encode_frame(SETTINGS, 1)
OK_200 = encode_frame(HEADERS, END_HEADERS, 1, b"\x88")


@pytest.mark.parametrize("close", [False, True], ids=["stays", "closes"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x0a",
        random.Random(1).randbytes(2000),
        encode_settings({4: 2**31}),
        SERVER_HELLO + encode_frame(GOAWAY, 0, 0, struct.pack(">II", 0, INTERNAL_ERROR)),
        SERVER_HELLO + encode_frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)),
        SERVER_HELLO + encode_frame(RST_STREAM, 0, 1, struct.pack(">I", INTERNAL_ERROR)),
        SERVER_HELLO + encode_frame(DATA, 0, 1, b"before its headers"),
        SERVER_HELLO + encode_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff"),
        SERVER_HELLO + encode_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x01X\x01y"),
        SERVER_HELLO + encode_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88\x40\x01a\x02\r\n"),
        SERVER_HELLO + OK_200 + encode_frame(DATA, END_STREAM, 1, b""),
        SERVER_HELLO + OK_200 + encode_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88"),
        SERVER_HELLO + OK_200 + encode_frame(HEADERS, 0, 1, b"\x88")[:-1],
        SERVER_HELLO + encode_frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82"),
        SERVER_HELLO + b"\xff\xff\xff" + bytes(6),
    ],
    ids=[
        "http1", "tls-alert", "random", "wrong-settings", "goaway-error", "goaway", "reset", "data-first", "bad-hpack",
        "upper-case", "crlf", "no-trailers", "status-in-trailers", "cut-off", "push", "huge-frame",
    ],
)  # fmt: skip
async def test_a_backend_that_answers_nonsense_is_an_error_to_its_callers(
    answer: bytes, close: bool, tmp_path: Path
) -> None:
    """A gRPC status that is not OK, well before the deadline, unless the backend leaves the answer unfinished."""
    config = tmp_path / "proxy.yaml"
    where = f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"
    with canned_backend(answer, close) as address:
        write_config(config, *where, {"nonsense": [address]}, more="    failfast_timeout: 300ms\n")
        await call_nonsense(config, not close and answer.endswith((b"\x88", b"\0\0\0\1")))


async def call_nonsense(config: Path, unfinished: bool) -> None:
    with Proxy(config=config, until="/live") as proxy:
        async with open_channel(proxy.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(channel, timeout=1 if unfinished else 25)
        allowed = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
        assert caught.value.code() in (allowed | {grpc.StatusCode.DEADLINE_EXCEEDED} if unfinished else allowed)
        assert proxy.admin_status("/live") == 200


# Bad requests to the admin port


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\xff" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /live HTTP/1.1\r\n" + b"x: y\r\n" * 10_000 + b"\r\n",
        b"POST /live HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"DELETE /metrics HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /no/such/path HTTP/1.1\r\nhost: x\r\n\r\n",
        PREFACE,
    ],
)
def test_a_bad_admin_request_is_answered_with_an_error(proxy: Proxy, request_bytes: bytes) -> None:
    with socket.create_connection((HOST, proxy.admin_port)) as sock:
        try:
            sock.sendall(request_bytes)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has read enough
        answer = read_to_end(sock)
    assert answer == b"" or re.match(rb"HTTP/1\.[01] [45]\d\d ", answer), answer[:200]
    assert proxy.admin_status("/live") == 200
