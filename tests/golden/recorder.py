"""A plain state-of-the-world ADS server that serves one view of one mesh, and notes what the client thinks of it.

The point is the client's verdict on our messages, so this knows as little as it can: whatever a client subscribes to it
gets, and a new subscription or a new mesh is answered at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf.any_pb2 import Any

from controlplane.translate.resource import TYPES, View
from controlplane.translate.translator import Translator

Expected = set[tuple[str, str]]  # (type, name)
Inbox = SimpleQueue[DiscoveryRequest | None]  # None: what is served has changed, or the client has gone
DEADLINE_S = 60


class Stream:
    """One client's stream: per type what it asks for, and which names each response held."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.asked: dict[str, frozenset[str]] = {}
        self.sent: dict[str, tuple[str, frozenset[str]]] = {}  # by nonce

    def take(self, request: DiscoveryRequest) -> Iterator[DiscoveryResponse]:
        if request.error_detail.message:
            self.recorder.refuse(request.error_detail.message)
        elif request.response_nonce in self.sent:
            self.recorder.accept(*self.sent[request.response_nonce])
        names = frozenset(request.resource_names)
        if self.asked.get(request.type_url) != names:
            self.asked[request.type_url] = names
            yield self.answer(request.type_url)

    def answer_all(self) -> Iterator[DiscoveryResponse]:
        return (self.answer(type_url) for type_url in TYPES if type_url in self.asked)

    def answer(self, type_url: str) -> DiscoveryResponse:
        translator, view = self.recorder.serving
        names = self.asked[type_url] or translator.wildcard(type_url, view)
        resources = [resource for name in sorted(names) if (resource := translator.get(type_url, name, view))]
        nonce = str(len(self.sent))
        self.sent[nonce] = type_url, frozenset(resource.name for resource in resources)
        bodies = [Any(type_url=type_url, value=resource.body) for resource in resources]
        return DiscoveryResponse(version_info=nonce, nonce=nonce, type_url=type_url, resources=bodies)


class Recorder:
    """Use as a context; `serve` what a client is to be given, then `wait` until it has accepted it."""

    def __init__(self) -> None:
        self.serving = (Translator(), View())
        self._accepted: Expected = set()
        self._refusals: list[str] = []
        self._inboxes: list[Inbox] = []
        self._news = threading.Condition()
        # grpcio opens a stream for each target, and each stream holds a thread.
        self._server = grpc.server(ThreadPoolExecutor(64))
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "envoy.service.discovery.v3.AggregatedDiscoveryService",
                    {
                        "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(
                            self._stream, DiscoveryRequest.FromString, DiscoveryResponse.SerializeToString
                        )
                    },
                ),
            )
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> Recorder:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait()

    def serve(self, translator: Translator, view: View) -> None:
        with self._news:
            self.serving = translator, view
            self._accepted.clear()
            self._refusals.clear()
            for inbox in self._inboxes:
                inbox.put(None)

    def wait(self, expected: Expected) -> None:
        """Until every one of these resources is accepted; fails on the first refusal."""
        end = time.monotonic() + DEADLINE_S
        with self._news:
            while not self._refusals and not expected <= self._accepted:
                assert self._news.wait(end - time.monotonic()), f"not accepted: {expected - self._accepted}"
            assert not self._refusals, self._refusals

    def accept(self, type_url: str, names: frozenset[str]) -> None:
        with self._news:
            self._accepted |= {(type_url, name) for name in names}
            self._news.notify_all()

    def refuse(self, complaint: str) -> None:
        with self._news:
            self._refusals.append(complaint)
            self._news.notify_all()

    def _stream(
        self, requests: Iterator[DiscoveryRequest], context: grpc.ServicerContext
    ) -> Iterator[DiscoveryResponse]:
        inbox: Inbox = SimpleQueue()
        context.add_callback(lambda: inbox.put(None))
        with self._news:
            self._inboxes.append(inbox)
        threading.Thread(target=_read, args=(requests, inbox), daemon=True).start()
        stream = Stream(self)
        while context.is_active():
            request = inbox.get()
            yield from stream.answer_all() if request is None else stream.take(request)


def _read(requests: Iterator[DiscoveryRequest], inbox: Inbox) -> None:
    try:
        for request in requests:
            inbox.put(request)
    except grpc.RpcError:
        pass  # the client has gone
