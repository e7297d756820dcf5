"""The incremental protocol: DeltaDiscoveryRequest in, DeltaDiscoveryResponse out.

Every name in `resource_names_subscribe` is answered, with the resource or as removed, unless the stream's first request
of the type gave that very version in `initial_resource_versions`. A subscription counts even with a stale nonce.
"""

from __future__ import annotations

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from google.protobuf.message import DecodeError

from controlplane.discovery.bounds import refuse_invalid
from controlplane.discovery.interest import WILDCARD
from controlplane.discovery.stream import Push, Stream
from controlplane.discovery.subscription import ABSENT, Subscription
from controlplane.translate.resource import TYPES, Resource

_VERSION_CHARS_MAX = 64


class DeltaStream(Stream):
    mode = "delta"

    def receive(self, data: bytes) -> None:
        try:
            request = DeltaDiscoveryRequest.FromString(data)
        except DecodeError:
            raise refuse_invalid("this is no DeltaDiscoveryRequest") from None
        self._introduce(request.node)
        subscription = self._subscription(request.type_url)
        if request.response_nonce:
            problem = request.error_detail.message if request.HasField("error_detail") else None
            self._land(subscription, request.response_nonce, problem)
        if subscription.is_new or request.resource_names_subscribe or request.resource_names_unsubscribe:
            self.asked += 1
            if subscription.type_url in TYPES:
                self._change(subscription, request)
            else:
                subscription.is_new = False
                subscription.answer_due |= bool(request.resource_names_subscribe)

    def _change(self, subscription: Subscription, request: DeltaDiscoveryRequest) -> None:
        asked, dropped = request.resource_names_subscribe, request.resource_names_unsubscribe
        before = len(subscription.follows)
        initial = read_versions(request) if subscription.is_new else {}
        self._check(subscription, max(len(asked), len(dropped), len(initial)))
        if subscription.is_new and not asked and not dropped and subscription.legacy:
            self._ask_for_all(subscription, initial)
        if asked:
            subscription.legacy = False
        for name in asked:
            if name == WILDCARD:
                self._ask_for_all(subscription, initial)
            else:
                self._ask_for(subscription, name, initial)
        for name in dropped:
            self._drop(subscription, name)
        subscription.is_new = False
        self._check(subscription, 0)
        if len(subscription.follows) > before:
            self._check_room()

    def _ask_for(self, subscription: Subscription, name: str, initial: dict[str, str]) -> None:
        self._check_name(name)
        subscription.subscribe(name)
        if name in initial:
            subscription.sent[name] = initial[name]
            subscription.dirty.add(name)
        else:
            subscription.owed.add(name)

    def _ask_for_all(self, subscription: Subscription, initial: dict[str, str]) -> None:
        """The first answer to a wildcard goes even if it is empty: Envoy waits for it to be ready."""
        again = subscription.wildcard
        subscription.subscribe_wildcard()
        if again:
            subscription.owed.update(subscription.follows.keys() - subscription.names)
        for name, version in initial.items():
            self._check_name(name)
            if name not in subscription.names:
                subscription.sent[name] = version
                subscription.dirty.add(name)
        subscription.answer_due = not initial

    def _drop(self, subscription: Subscription, name: str) -> None:
        """Where the wildcard may stand for the name too, the client cannot know what it has left: it is told."""
        if name == WILDCARD:
            subscription.unsubscribe_wildcard()
            return
        was_asked_for = name in subscription.names
        subscription.unsubscribe(name)
        if was_asked_for and subscription.wildcard:
            subscription.owed.add(name)

    def _make(self, subscription: Subscription) -> Push | None:
        updates: list[Resource] = []
        absent: list[str] = []
        size = 0
        for name in sorted(subscription.dirty | subscription.owed):
            if size > self.shared.bounds.response_bytes:
                break
            resource = subscription.resource(name)
            if resource is not None:
                if name in subscription.owed or subscription.sent.get(name) != resource.version:
                    updates.append(resource)
                    size += len(resource.body)
                subscription.sent[name] = resource.version
            elif name in subscription.owed:
                absent.append(name)
                self._forget(subscription, name)
            elif subscription.sent.get(name):
                continue  # to be removed once what replaces it has gone
            subscription.dirty.discard(name)
            subscription.owed.discard(name)
        if updates or absent or subscription.answer_due:
            return self._respond(subscription, updates, absent)
        return None

    def _break(self, subscription: Subscription) -> Push | None:
        gone = [name for name in sorted(subscription.dirty) if subscription.resource(name) is None]
        for name in gone:
            self._forget(subscription, name)
            subscription.dirty.discard(name)
        return self._respond(subscription, [], gone) if gone else None

    def _forget(self, subscription: Subscription, name: str) -> None:
        """The client is told that there is no such resource."""
        if name in subscription.follows:
            subscription.sent[name] = ABSENT
        else:
            subscription.sent.pop(name, None)

    def _respond(self, subscription: Subscription, updates: list[Resource], removed: list[str]) -> Push:
        nonce, data = self.shared.responses.delta(subscription.type_url, updates, removed, self._last_nonce)
        return self._launch(subscription, nonce, data, updates, removed)


def read_versions(request: DeltaDiscoveryRequest) -> dict[str, str]:
    """What the client says that it has; an empty version says nothing."""
    return {
        name: version[:_VERSION_CHARS_MAX] for name, version in request.initial_resource_versions.items() if version
    }
