"""What the kernel tells of a peer: that it owes nothing, that it does not read, that it does."""

from __future__ import annotations

import errno
import os
import socket
from time import monotonic

import pytest

from proxy.net.kernel import Answer, ask_kernel, is_local, read_fault, reset_at_close


def test_what_a_peer_owes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as reader:
            sock, _ = listening.accept()
            with sock:
                assert not ask_kernel(sock.fileno()).is_owed
                sock.setblocking(False)
                try:
                    while True:
                        sock.send(bytes(100_000))
                except BlockingIOError:
                    pass
                assert ask_kernel(sock.fileno()).is_owed
                reader.settimeout(0.05)
                while ask_kernel(sock.fileno()).is_owed:
                    try:
                        reader.recv(1_000_000)
                    except TimeoutError:
                        continue  # all is read, and the last acknowledgement is on its way
                assert ask_kernel(sock.fileno()) == Answer(False, 0, ask_kernel(sock.fileno()).silence_s)


def test_an_end_and_a_reset_are_known_though_nobody_reads() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        sock, _ = listening.accept()
        with sock:
            client.send(b"x")
            client.shutdown(socket.SHUT_WR)
            until_s = monotonic() + 10
            while not ask_kernel(sock.fileno()).has_ended:
                assert monotonic() < until_s
            assert not ask_kernel(sock.fileno()).is_closed
            reset_at_close(client)
            client.close()
            while not ask_kernel(sock.fileno()).is_closed:
                assert monotonic() < until_s


@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", True), ("127.9.9.9", True), ("192.0.2.1", False)])
def test_whose_address_it_is(host: str, here: bool) -> None:
    assert is_local(host) == here


def test_the_socket_is_left_open() -> None:
    with socket.socket() as sock:
        ask_kernel(sock.fileno())
        assert os.fstat(sock.fileno())


def test_a_socket_that_is_gone_is_no_bug() -> None:
    sock = socket.socket()
    fd = sock.fileno()
    sock.close()
    reset_at_close(sock)
    assert not ask_kernel(fd).is_owed
    assert not ask_kernel(-1).is_owed


def test_what_is_no_tcp_is_owed_nothing() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert ask_kernel(sock.fileno()) == Answer(False, 0, 0.0)


def test_a_reset_after_an_end_is_known_to_the_kernel() -> None:
    """Whom nobody reads from any more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        sock, _ = listening.accept()
        with sock:
            client.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
            assert not ask_kernel(sock.fileno()).is_closed
            reset_at_close(client)
            client.close()
            deadline_s = monotonic() + 20.0
            while not ask_kernel(sock.fileno()).is_closed:
                assert monotonic() < deadline_s
            assert read_fault(sock).errno == errno.ECONNRESET


def test_a_cut_is_seen_as_a_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as client:
            sock, _ = listening.accept()
            reset_at_close(sock)
            sock.close()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
