"""A program that says how a connection reached it: an application, or what stands where the sidecar will.

    station.py NAME HOST:PORT...

It listens and prints `ready`. To the line `here` it answers with a list of one record: its name, the peer,
the local address, and the original destination as conntrack has it. To `onward` it opens a connection to the original
destination, as the sidecar would, and answers with its own record and those of whoever it reaches; but an application
goes nowhere.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from typing import Any

SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST is the same number
TIMEOUT_S = 30
Address = tuple[str, int]
Record = dict[str, Any]


def read_original(connection: socket.socket) -> Address | None:
    """Where the client meant to go; None where conntrack knows nothing of the connection."""
    ipv6 = connection.family == socket.AF_INET6
    try:
        raw = connection.getsockopt(socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP, SO_ORIGINAL_DST, 28)
    except OSError:
        return None
    host = raw[8:24] if ipv6 else raw[4:8]
    return socket.inet_ntop(connection.family, host), int.from_bytes(raw[2:4], "big")


def describe(name: str, connection: socket.socket) -> Record:
    return {
        "name": name,
        "peer": connection.getpeername()[:2],
        "local": connection.getsockname()[:2],
        "original": read_original(connection),
    }


def ask(connection: socket.socket, line: str) -> list[Record]:
    """The answer to a line, on a connection to a station."""
    connection.sendall(f"{line}\n".encode())
    with connection.makefile("r", encoding="utf-8") as answers:
        records: list[Record] = json.loads(answers.readline())
    return records


def go_onward(record: Record) -> list[Record]:
    if record["original"] is None or tuple(record["original"]) == tuple(record["local"]):
        return [{"name": "loop"}]
    try:
        with socket.create_connection(record["original"], TIMEOUT_S) as onward:
            return ask(onward, "onward")
    except OSError as error:
        return [{"name": f"error: {error}"}]


def serve(name: str, connection: socket.socket, is_proxy: bool) -> None:
    """Answer each line of one connection."""
    connection.settimeout(TIMEOUT_S)
    with connection, connection.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            record = describe(name, connection)
            found = [record, *(go_onward(record) if is_proxy and line == "onward\n" else [])]
            connection.sendall(f"{json.dumps(found)}\n".encode())


def accept(name: str, listener: socket.socket, is_proxy: bool) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(name, connection, is_proxy), daemon=True).start()


def listen(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, backlog=64)


def main(name: str, *addresses: str) -> None:
    for address in addresses:
        threading.Thread(target=accept, args=(name, listen(address), "proxy" in name), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
