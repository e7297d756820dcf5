"""The state-of-the-world protocol: DiscoveryRequest in, DiscoveryResponse out.

Every change of the name set is answered. A response of listeners or clusters holds all of them; what is gone stays in
it until what replaces it has gone out, so that the order holds here too. Of other types it holds what changed: their
absence means nothing. A request with a stale nonce is not heeded, since the client will send a newer one; but of what
it left out the client has forgotten what it had, and is sent it again if it asks for it then.
"""

from __future__ import annotations

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from google.protobuf.message import DecodeError

from controlplane.discovery.bounds import refuse_invalid
from controlplane.discovery.interest import WILDCARD
from controlplane.discovery.stream import Push, Stream
from controlplane.discovery.subscription import WHOLE_TYPES, Subscription
from controlplane.discovery.wire import encode_nonce, hash_versions
from controlplane.translate.resource import TYPES, Resource


class SotwStream(Stream):
    mode = "sotw"

    def receive(self, data: bytes) -> None:
        try:
            request = DiscoveryRequest.FromString(data)
        except DecodeError:
            raise refuse_invalid("this is no DiscoveryRequest") from None
        self._introduce(request.node)
        subscription = self._subscription(request.type_url)
        nonce = request.response_nonce
        if subscription.type_url not in TYPES:
            self._answer_unknown(subscription, request)
            return
        if nonce and subscription.nonce and nonce != encode_nonce(subscription.nonce):
            self._miss(subscription, set(request.resource_names))
            return
        if nonce:
            problem = request.error_detail.message if request.HasField("error_detail") else None
            self._land(subscription, nonce, problem)
        self._change(subscription, request)

    def _answer_unknown(self, subscription: Subscription, request: DiscoveryRequest) -> None:
        """Every request that does not acknowledge is answered, once what was sent before has been acknowledged."""
        if not subscription.land(request.response_nonce, None):
            self.asked += 1
            subscription.answer_due = True

    def _miss(self, subscription: Subscription, names: set[str]) -> None:
        """A request that is not heeded names these."""
        self.asked += 1
        if WILDCARD in names or (not names and subscription.legacy):
            return
        subscription.legacy = False
        subscription.missed |= subscription.follows.keys() - names

    def _change(self, subscription: Subscription, request: DiscoveryRequest) -> None:
        self._check(subscription, len(request.resource_names))
        names = set(request.resource_names)
        wildcard = WILDCARD in names or (not names and subscription.legacy)
        subscription.legacy = subscription.legacy and not names
        names.discard(WILDCARD)
        before = len(subscription.follows)
        if names != subscription.names or wildcard != subscription.wildcard:
            self.asked += 1
            self._ask_for(subscription, names, wildcard)
            subscription.answer_due = True
        if again := subscription.missed & subscription.follows.keys():
            subscription.owed |= again
            subscription.answer_due = True
        subscription.missed.clear()
        if len(subscription.follows) > before:
            self._check_room()
        if subscription.is_new and wildcard and not names:
            self._spare(subscription, request.version_info)
        subscription.is_new = False

    def _ask_for(self, subscription: Subscription, names: set[str], wildcard: bool) -> None:
        if wildcard:
            subscription.subscribe_wildcard()
        else:
            subscription.unsubscribe_wildcard()
        for name in subscription.names - names:
            subscription.unsubscribe(name)
        for name in names - subscription.names:
            self._check_name(name)
            subscription.subscribe(name)
            subscription.owed.add(name)

    def _spare(self, subscription: Subscription, version: str) -> None:
        """A client that comes from another replica with exactly this state is not sent it again."""
        resources = self._whole(subscription)
        if not version or version != hash_versions(resources):
            return
        for resource in resources:
            self._remember(subscription, resource)
        subscription.dirty.clear()
        subscription.answer_due = False

    def _make(self, subscription: Subscription) -> Push | None:
        if subscription.type_url in WHOLE_TYPES:
            return self._make_whole(subscription)
        updates, size = [], 0
        for name in sorted(subscription.dirty | subscription.owed):
            if size > self.shared.bounds.response_bytes:
                break
            resource = subscription.resource(name)
            if resource is None:
                subscription.sent.pop(name, None)
            elif name in subscription.owed or subscription.sent.get(name) != resource.version:
                updates.append(resource)
                size += len(resource.body)
                subscription.sent[name] = resource.version
            subscription.dirty.discard(name)
            subscription.owed.discard(name)
        if updates or subscription.answer_due:
            return self._respond(subscription, updates, updates, [])
        return None

    def _make_whole(self, subscription: Subscription) -> Push | None:
        told = subscription.dirty | subscription.owed
        current = [resource for name in sorted(told) if (resource := subscription.resource(name))]
        updates = [
            resource
            for resource in current
            if resource.name in subscription.owed or subscription.sent.get(resource.name) != resource.version
        ]
        gone = [name for name in sorted(subscription.dirty) if self._is_gone(subscription, name)]
        subscription.dirty = set(gone)
        subscription.owed.clear()
        if not updates and not subscription.answer_due:
            return None
        for resource in updates:
            self._remember(subscription, resource)
        kept = [subscription.kept[name] for name in gone]
        return self._respond(subscription, self._whole(subscription) + kept, updates, [])

    def _break(self, subscription: Subscription) -> Push | None:
        gone = sorted(subscription.dirty)
        if not gone:
            return None
        for name in gone:
            subscription.sent.pop(name, None)
            subscription.kept.pop(name, None)
        subscription.dirty.clear()
        return self._respond(subscription, self._whole(subscription), [], gone)

    def _is_gone(self, subscription: Subscription, name: str) -> bool:
        return name in subscription.kept and subscription.resource(name) is None

    def _remember(self, subscription: Subscription, resource: Resource) -> None:
        subscription.sent[resource.name] = resource.version
        subscription.kept[resource.name] = resource

    def _whole(self, subscription: Subscription) -> list[Resource]:
        return [resource for name in sorted(subscription.follows) if (resource := subscription.resource(name))]

    def _respond(
        self, subscription: Subscription, resources: list[Resource], updates: list[Resource], gone: list[str]
    ) -> Push:
        nonce, data = self.shared.responses.sotw(subscription.type_url, resources, self._last_nonce)
        return self._launch(subscription, nonce, data, updates, gone)
