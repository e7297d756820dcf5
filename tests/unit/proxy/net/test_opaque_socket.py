"""What the kernel tells of a peer: that it owes nothing, that it does not read, that it does."""

from __future__ import annotations

import socket

from proxy.net.opaque_socket import ask_kernel, be_patient, reset_at_close


def test_what_a_peer_owes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as reader:
            sock, _ = listening.accept()
            with sock:
                assert ask_kernel(sock, 0.0) == (False, False)
                sock.setblocking(False)
                try:
                    while True:
                        sock.send(bytes(100_000))
                except BlockingIOError:
                    pass
                # Its window is closed, and it answers: it owes us much and is alive.
                assert ask_kernel(sock, 0.0) == (True, False)
                reader.settimeout(0.05)
                while ask_kernel(sock, 0.0)[0]:
                    try:
                        reader.recv(1_000_000)
                    except TimeoutError:
                        continue  # all is read, and the last acknowledgement is on its way
                assert ask_kernel(sock, 0.0) == (False, False)


def test_patience_takes_the_timeout_back() -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000)
        be_patient(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


def test_a_socket_that_is_gone_is_no_bug() -> None:
    sock = socket.socket()
    sock.close()
    be_patient(sock)
    reset_at_close(sock)
    assert ask_kernel(sock, 0.0) == (False, False)
