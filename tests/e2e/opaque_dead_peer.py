"""Run by a test in a network namespace of its own: a server's packets are dropped, and the sidecar finds that out.

Prints the error that ended the server's connection. `owed`: there are bytes on their way to it; `idle`: there are none.
"""

from __future__ import annotations

import os
import subprocess
import sys

from proxy.codec.detect import OPAQUE
from proxy.route.hints import Expectation
from tests.e2e.opaque_stage import OpaqueStage, Server, echo
from tests.e2e.processes import eventually


def main(is_owed: bool) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    expectation = Expectation(OPAQUE)
    with Server(echo) as server, OpaqueStage([server.address], expectation=expectation, user_timeout_s=4.0) as stage:
        client = stage.connect()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        for side in ("--sport", "--dport"):
            rule = ["-p", "tcp", side, str(server.address[1]), "-j", "DROP"]
            subprocess.run(["iptables", "-w", "-A", "INPUT", *rule], check=True)
        if is_owed:
            client.sendall(b"x")
        eventually(lambda: stage.open_connections() == 0, "the end of the connection", 40)
        for name, number in stage.metrics().items():
            if name.startswith("tcp_close_total") and "peer=dst" in name and number:
                print(name.split("errno=")[1].split(",")[0], flush=True)
        os._exit(0)  # the server knows nothing of the end, and would wait


if __name__ == "__main__":
    main(sys.argv[1] == "owed")
