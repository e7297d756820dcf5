"""gRPC calls from inside a pod: `-m tests.e2e.transparent.calls TARGET COUNT [AUTHORITY]`; prints who answered each."""

from __future__ import annotations

import sys

import grpc


def main(target: str, count: str, authority: str = "") -> None:
    options = [("grpc.default_authority", authority)] if authority else []
    with grpc.insecure_channel(target, options=options) as channel:
        call = channel.unary_unary("/e2e.Echo/unary")
        for _ in range(int(count)):
            _, made = call.with_call(b"x", timeout=20, wait_for_ready=True)
            print(dict(made.trailing_metadata())["backend"])


if __name__ == "__main__":
    main(*sys.argv[1:])
