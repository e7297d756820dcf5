"""A pod of `emoji` or `voting`: the grpcio server of the local demo, which ends as a well-behaved one does on SIGTERM.

It knows nothing of the mesh. On SIGTERM it serves on while Kubernetes spreads the word that it goes, then finishes what
it has, and exits: grpcio's own `stop` resets a request that comes in the same moment, with and without a mesh.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

import grpc
import grpc.aio

from mesh.demo.application import SERVICES, SLOW_BY_S, Service
from mesh.demo.kubernetes.manifests import PORT
from mesh.demo.replica import Replica

LINGER_S = 6.0
GRACE_S = 10.0


async def serve(service: Service, pod: str, delay_s: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server()
    handlers = Replica(service, pod, delay_s).handlers()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.grpc_name, handlers),))
    server.add_insecure_port(f"[::]:{PORT}")
    await server.start()
    await stop.wait()
    await asyncio.sleep(LINGER_S)
    await server.stop(GRACE_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", choices=SERVICES, required=True)
    parser.add_argument("--pod", required=True)
    parser.add_argument("--slow", action="store_true", help="be the pod that the story is about")
    options = parser.parse_args()
    asyncio.run(serve(SERVICES[options.service], options.pod, SLOW_BY_S if options.slow else 0.0))


if __name__ == "__main__":
    main()
