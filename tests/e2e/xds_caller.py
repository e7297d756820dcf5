"""A proxyless gRPC client, run as a process, since gRPC reads its xDS bootstrap once: `xds_caller.py TARGET`.

It calls without end, one call after the other, and prints the backend that answered, or the status.
"""

from __future__ import annotations

import sys
import time

import grpc


def main(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/e2e.Echo/unary")
        while True:
            try:
                _, outcome = call.with_call(b"", timeout=20)
                print(next(value for key, value in outcome.trailing_metadata() if key == "backend"), flush=True)
            except grpc.RpcError as error:
                print(f"failed: {error.code().name}: {error.details()}", flush=True)
            time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
