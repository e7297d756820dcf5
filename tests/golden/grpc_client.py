"""A grpcio client of its own process, since it knows one control plane only: `PORT CALLS NAME...`.

It calls each name CALLS times and prints which backends answered, a line each. With 0 calls it opens the channels and
stays: what counts then is what it thinks of their configuration.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from urllib.parse import quote

import grpc


def main(port: str, calls: int, names: list[str]) -> None:
    server = {"server_uri": f"127.0.0.1:{port}", "channel_creds": [{"type": "insecure"}]}
    os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = json.dumps({"xds_servers": [server], "node": {"id": "golden"}})
    channels = [grpc.insecure_channel(f"xds:///{quote(name)}") for name in names]
    if not calls:
        for channel in channels:
            channel.subscribe(lambda _: None, try_to_connect=True)
        signal.pause()
    for channel in channels:
        call = channel.unary_unary("/e2e.Echo/unary")  # type: ignore[call-arg]
        for _ in range(calls):
            _, context = call.with_call(b"", timeout=30, wait_for_ready=True)
            print(dict(context.trailing_metadata())["backend"])
        channel.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
