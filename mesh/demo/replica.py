"""One replica (pod) of `emoji` or `voting`: a real grpcio server in a process of its own.

It prints `{"port": N}` once it serves. Its service times scatter by half around the mean, from a generator seeded with
the pod's name, so that each run is alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from mesh.demo import messages
from mesh.demo.application import EMOJI, EMOJIS, FAILING_METHOD, POD_HEADER, SERVICES, SLOW_BY_S, SLOW_POD, Service

Handler = Callable[[Any, Any], Awaitable[Any]]


class Replica:
    """The handlers of one pod; all of its methods take the same time, as its one slowness is the pod's."""

    def __init__(self, service: Service, pod: str, delay_s: float) -> None:
        self._service = service
        self._pod = pod
        self._delay_s = delay_s
        self._rng = random.Random(pod)
        self._votes: Counter[str] = Counter()

    async def _work(self, context: Any) -> None:
        """Say who answers, at once, so that the caller knows the pod of a failed or interrupted request too."""
        await context.send_initial_metadata(((POD_HEADER, self._pod),))
        await asyncio.sleep(self._service.mean_time_s * self._rng.uniform(0.5, 1.5) + self._delay_s)

    async def find(self, request: Any, context: Any) -> Any:
        await self._work(context)
        return messages.Emoji(shortcode=request.shortcode, unicode=EMOJIS[request.shortcode])

    async def vote(self, request: Any, context: Any) -> Any:
        await self._work(context)
        self._votes[request.shortcode] += 1
        return messages.VoteResponse(votes=self._votes[request.shortcode])

    async def refuse(self, request: Any, context: Any) -> Any:
        """The method that fails by intention, with a code that follows the method and not the pod."""
        await self._work(context)
        await context.abort(grpc.StatusCode.UNKNOWN, "nobody may vote for the doughnut")

    def handlers(self) -> dict[str, Any]:
        return {method: self._handler(method) for method in self._service.methods}

    def _handler(self, method: str) -> Any:
        find = self._service is EMOJI
        call: Handler = self.find if find else self.vote
        if self._service.path(method) == FAILING_METHOD:
            call = self.refuse
        request = messages.FindByShortcodeRequest if find else messages.VoteRequest
        response = messages.Emoji if find else messages.VoteResponse
        return grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )


async def serve(service: Service, pod: str) -> None:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    delay_s = SLOW_BY_S if pod == SLOW_POD else 0.0
    handler = grpc.method_handlers_generic_handler(service.grpc_name, Replica(service, pod, delay_s).handlers())
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"port": port}), flush=True)
    await server.wait_for_termination()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", choices=SERVICES, required=True)
    parser.add_argument("--pod", required=True)
    options = parser.parse_args()
    asyncio.run(serve(SERVICES[options.service], options.pod))


if __name__ == "__main__":
    main()
