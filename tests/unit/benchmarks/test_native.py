"""The load generator against servers that answer wrongly: each must fail the run, or the figures mean nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from benchmarks.process import running
from benchmarks.toolchain import Native, build_native
from tests.requirement import require

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]

Answer = Callable[[h2.connection.H2Connection, int, bytes], None]


@pytest.fixture(scope="module")
def native() -> Native:
    require("cc", "gcc is missing: apt-get install gcc")
    require(Path("/usr/include/nghttp2/nghttp2.h").exists(), "nghttp2 is missing: apt-get install libnghttp2-dev")
    return build_native()


def run_load(native: Native, port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(native.loadgen), f"--target=127.0.0.1:{port}", "--warmup=0", "--duration=0.1", "--patience=2"]
    return subprocess.run([*argv, *arguments], capture_output=True, text=True, timeout=30, check=False)


@contextmanager
def backend(native: Native, folder: Path, number: int = 1) -> Iterator[tuple[int, int]]:
    """A real backend's port and pid."""
    with running([str(native.backend), str(number)], folder / f"{number}.log", pipes=True) as process:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline())["port"]), process.pid


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """A server of one connection that answers as it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, answer))
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def serve(listener: socket.socket, answer: Answer) -> None:
    peer, _ = listener.accept()
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    bodies: dict[int, bytes] = {}
    with peer:
        peer.sendall(connection.data_to_send())
        while data := receive(peer):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = event.data
                elif isinstance(event, h2.events.StreamEnded):
                    answer(connection, event.stream_id, bodies.pop(event.stream_id))
            send(peer, connection.data_to_send())


def receive(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except ConnectionError:
        return b""


def send(peer: socket.socket, data: bytes) -> None:
    try:
        peer.sendall(data)
    except ConnectionError:
        pass  # the load generator has seen enough


def respond(
    connection: h2.connection.H2Connection, stream_id: int, body: bytes, trailers: list[tuple[str, str]]
) -> None:
    connection.send_headers(stream_id, HEADERS)
    connection.send_data(stream_id, body)
    connection.send_headers(stream_id, trailers, end_stream=True)


def stamped(body: bytes, number: int) -> bytes:
    return body[:13] + bytes([number]) + body[14:]


WRONG: dict[str, tuple[str, Answer]] = {
    "status": ("grpc-status was 14", lambda c, s, body: respond(c, s, stamped(body, 1), [("grpc-status", "14")])),
    "no status": ("no grpc-status", lambda c, s, body: respond(c, s, stamped(body, 1), [("x", "y")])),
    "length": ("36 bytes of DATA", lambda c, s, body: respond(c, s, stamped(body, 1)[:-1], OK)),
    "too long": ("38 bytes of DATA", lambda c, s, body: respond(c, s, stamped(body, 1) + b"x", OK)),
    "other request": ("another request", lambda c, s, body: respond(c, s, body[:5] + bytes(8) + b"\1" + body[14:], OK)),
    "no backend": ("no known backend", lambda c, s, body: respond(c, s, body, OK)),
    "http status": (":status was not 200", lambda c, s, body: c.send_headers(s, [(":status", "503")], end_stream=True)),
    "reset": ("reset: REFUSED_STREAM", lambda c, s, body: c.reset_stream(s, 7)),
    "goaway": ("GOAWAY with code 2", lambda c, s, body: c.close_connection(2)),
    "silence": ("got no answer", lambda c, s, body: None),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_answer_fails_the_run(native: Native, kind: str) -> None:
    complaint, answer = WRONG[kind]
    with server(answer) as port:
        done = run_load(native, port, "--connections=1", "--streams=2", "--patience=0.5")
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stdout == ""


def test_right_answers_are_counted_by_backend(native: Native) -> None:
    with server(lambda c, s, body: respond(c, s, stamped(body, 3), OK)) as port:
        done = run_load(native, port, "--connections=1", "--streams=2")
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert result["backends"] == [0, 0, result["requests"]]
    latency = result["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"] <= latency["max"]


@pytest.mark.parametrize("arguments", [("--headers=same",), ("--headers=unique",), ("--mode=open", "--rate=500")])
def test_backend_and_load_generator_agree(native: Native, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with backend(native, tmp_path) as (port, pid):
        done = run_load(native, port, *arguments, f"--cpu=server={pid}")
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert result["requests"] == sum(result["backends"])
    assert 0 < result["cpu_us"]["server"] < 10_000_000


def test_idle_connections_are_held_until_standard_input_closes(native: Native, tmp_path: Path) -> None:
    with backend(native, tmp_path) as (port, _):
        argv = [str(native.loadgen), "--mode=idle", "--connections=20", f"--target=127.0.0.1:{port}"]
        with running(argv, tmp_path / "idle.log", pipes=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert json.loads(process.stdout.readline()) == {"connected": 20}
            assert process.poll() is None
            process.stdin.close()
            assert process.wait(10) == 0


def test_a_backend_finds_headers_that_belong_to_another_request(native: Native, tmp_path: Path) -> None:
    body = bytes([0, 0, 0, 0, 32]) + (7).to_bytes(8, "big") + bytes(24)
    trace = f"00-{'a' * 32}-{{:016x}}-01"
    with backend(native, tmp_path) as (port, _):
        assert ask(port, trace.format(7), body) == "0"
        assert ask(port, trace.format(8), body) == "15"
        assert ask(port, trace.format(7), body[:-1]) == "11"


def ask(port: int, traceparent: str, body: bytes) -> str:
    """The grpc-status of one request."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=False))
    connection.initiate_connection()
    fields = [(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), (":authority", "a"), ("te", "trailers")]
    connection.send_headers(1, [*fields, ("content-type", "application/grpc"), ("traceparent", traceparent)])
    connection.send_data(1, body, end_stream=True)
    with socket.create_connection(("127.0.0.1", port), 10) as peer:
        peer.sendall(connection.data_to_send())
        while True:
            for event in connection.receive_data(peer.recv(65536)):
                if isinstance(event, h2.events.TrailersReceived):
                    return dict(event.headers)[b"grpc-status"].decode()


@pytest.mark.parametrize("arguments", [(), ("--target=nonsense",), ("--target=127.0.0.1:1", "--mode=other")])
def test_wrong_usage_is_told(native: Native, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([str(native.loadgen), *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) in (1, 3)
