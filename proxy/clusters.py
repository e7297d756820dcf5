"""The clusters in force, by name: each with its endpoints, their balancer and their connections.

Shared by all that leads to them: two names of one Service have one cluster. What a new wish leaves as it was is not
touched: endpoints that stay keep their connections and estimates; those that go get no new request from that moment
on, and finish what they have.

A cluster has a form for each protocol that is spoken to it, made when that is first spoken: HTTP/2 would otherwise be
dialled ahead where nobody understands it. It is dialled at once where the port is known to speak it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import random
from time import monotonic
from typing import TYPE_CHECKING
from zlib import crc32

from proxy.balance.endpoint import Endpoint
from proxy.balance.p2c import Balancer
from proxy.metrics.state import EndpointState
from proxy.net.names import Names, is_address
from proxy.relay.cluster import Cluster
from proxy.relay.link import Carrier, Link
from proxy.route import model

if TYPE_CHECKING:
    from proxy.relay.http1 import link as http1_link
    from proxy.relay.opaque import OpaqueCluster

# Of a larger cluster each sidecar uses so many, others than its neighbours do.
MAX_ENDPOINTS = 1_000
# A connection beyond the first that a burst needed is closed after this long without a stream.
_SURPLUS_S = 60.0
# What nobody knows to speak HTTP/2, and does not answer to it, is dialled no longer than this after the last request.
_FUTILE_S = 5.0
# What metrics call the forms; as `gossamer_detections_total` does.
_PROTOCOLS = "http2", "http1", "opaque"


class Clusters:
    """One per direction. `dial` asks `net` for a connection; `changed` is called when names were resolved anew.

    `by_name` are the forms for HTTP/2, which are made `ahead` for every cluster, or where they are needed.
    """

    def __init__(
        self,
        dial: Callable[[Link], None],
        changed: Callable[[], None],
        ahead: bool = True,
    ) -> None:
        self.dial = dial
        # Of whoever serves HTTP/1.
        self.dial_http1: Callable[[http1_link.Link], None] | None = None
        self.changed = changed
        self.ahead = ahead
        self.by_name: dict[str, Cluster] = {}
        self.http1_by_name: dict[str, Cluster] = {}
        self.opaque_by_name: dict[str, OpaqueCluster] = {}
        self.users: Counter[str] = Counter()
        self.wishes: dict[str, model.Cluster] = {}
        self.leaving = False
        self.names = Names(self._resolved)
        self.refresh_s = self.names.refresh_s
        self._hosts: dict[str, frozenset[str]] = {}
        self._salt = int(random() * 2**32)
        # Surplus connections: the id of their next stream, and since when it has been that with none open.
        self._surplus: dict[Carrier, tuple[int, float]] = {}

    # ---- what is wanted

    def begin(self, wish: model.Cluster, now: float) -> Cluster:
        """A cluster without endpoints as yet: requests wait, and its fail-fast clock runs."""
        cluster = self.by_name.get(wish.name)
        if cluster is None:
            cluster = self.by_name[wish.name] = self._make(wish, now)
        return cluster

    def put(self, wish: model.Cluster, now: float) -> bool:
        """Make a cluster what it should be; False where it is already."""
        if self.wishes.get(wish.name) == wish:
            return False
        self._want_names(wish)
        self.wishes[wish.name] = wish
        if self._is_known_for_http2(wish):
            self.begin(wish, now)
        self._fill_all(wish.name, now)
        return True

    def _is_known_for_http2(self, wish: model.Cluster) -> bool:
        """What is held is what somebody called: it may be any server on earth."""
        return wish.protocol == model.HTTP2 or (self.ahead and not wish.protocol and wish.name not in self.users)

    def drop(self, name: str, now: float) -> list[Cluster]:
        """End a cluster. Who waits in its forms may be served elsewhere, once the routes are what they should be."""
        del self.wishes[name]
        if self._hosts.pop(name, None):
            self.want_names()
        forms = []
        if (cluster := self.by_name.pop(name, None)) is not None:
            self._replace(cluster, [], now)
            forms.append(cluster)
        if (cluster := self.http1_by_name.pop(name, None)) is not None:
            self._fill_http1(cluster, (), 0.0, now)
            forms.append(cluster)
        if (opaque := self.opaque_by_name.pop(name, None)) is not None:
            opaque.replace(())
        return forms

    def hold(self, wish: model.Cluster, now: float) -> None:
        """Put a cluster that is in force as long as somebody holds it."""
        self.users[wish.name] += 1
        self.put(wish, now)

    def release(self, name: str, now: float) -> list[Cluster]:
        """One less holds it; its forms, where that was the last."""
        self.users[name] -= 1
        if self.users[name]:
            return []
        del self.users[name]
        return self.drop(name, now)

    # ---- forms

    def http2(self, name: str, now: float) -> Cluster:
        cluster = self.by_name.get(name)
        if cluster is None:
            wish = self.wishes.get(name) or model.Cluster(name, ())
            cluster = self.begin(wish, now)
            self._fill(cluster, wish, now)
        return cluster

    def http1(self, name: str, now: float) -> Cluster:
        cluster = self.http1_by_name.get(name)
        if cluster is None:
            # None yet is a cluster without endpoints: requests wait.
            wish = self.wishes.get(name) or model.Cluster(name, ())
            cluster = self.http1_by_name[name] = self._make(wish, now)
            self._fill_http1(cluster, self._addresses(wish), wish.connect_timeout_s, now)
        return cluster

    def _make(self, wish: model.Cluster, now: float) -> Cluster:
        cluster = Cluster(wish.name, Balancer(), wish.failfast_timeout_s, now)
        if self.leaving:
            cluster.leave()
        return cluster

    def leave(self) -> None:
        """The endpoints are the pod's own application, which is about to end."""
        self.leaving = True
        for cluster in (*self.by_name.values(), *self.http1_by_name.values()):
            cluster.leave()

    def opaque(self, name: str) -> OpaqueCluster:
        cluster = self.opaque_by_name.get(name)
        if cluster is None:
            from proxy.relay.opaque import OpaqueCluster  # as HTTP/1, only where connections are led here

            wish = self.wishes[name]
            cluster = OpaqueCluster(name, wish.connect_timeout_s, wish.failfast_timeout_s)
            self.opaque_by_name[name] = cluster
            cluster.replace(self._addresses(wish))
        return cluster

    def _fill_all(self, name: str, now: float) -> None:
        """Bring the forms that there are up to the wish."""
        wish = self.wishes[name]
        if (cluster := self.by_name.get(name)) is not None:
            cluster.failfast_s = wish.failfast_timeout_s
            self._fill(cluster, wish, now)
        http1, opaque = self.http1_by_name.get(name), self.opaque_by_name.get(name)
        if http1 is None and opaque is None:
            return
        addresses = self._addresses(wish)
        if http1 is not None:
            http1.failfast_s = wish.failfast_timeout_s
            self._fill_http1(http1, addresses, wish.connect_timeout_s, now)
        if opaque is not None:
            opaque.connect_timeout_s, opaque.failfast_s = wish.connect_timeout_s, wish.failfast_timeout_s
            opaque.replace(addresses)

    def _fill_http1(
        self, cluster: Cluster, addresses: tuple[model.Endpoint, ...], connect_timeout_s: float, now: float
    ) -> None:
        from proxy.relay.http1 import link as http1_link

        assert self.dial_http1 is not None
        http1_link.replace_endpoints(cluster, addresses, self.dial_http1, connect_timeout_s, now)

    def _addresses(self, wish: model.Cluster) -> tuple[model.Endpoint, ...]:
        """The endpoints that are known by now, each at an address of its own."""
        return tuple(
            replace(target, host=address)
            for target in choose(wish.endpoints, self._salt)
            for address in self.names.addresses(target.host) or ()
        )

    # ---- names of endpoints

    def _want_names(self, wish: model.Cluster) -> None:
        """Only hosts that are new are looked at: hundreds may stay as they are."""
        before = self.wishes.get(wish.name)
        hosts = {endpoint.host for endpoint in wish.endpoints}
        seen = {endpoint.host for endpoint in before.endpoints} if before is not None else set()
        old = self._hosts.get(wish.name, frozenset())
        names = (old & hosts) | {host for host in hosts - seen if not is_address(host)}
        if names != old:
            self._hosts[wish.name] = frozenset(names)
            self.want_names()

    def want_names(self) -> None:
        self.names.want({host for hosts in self._hosts.values() for host in hosts}, self.refresh_s)

    def _resolved(self) -> None:
        now = monotonic()
        for name, hosts in self._hosts.items():
            if hosts:
                self._fill_all(name, now)
        self.changed()

    # ---- endpoints

    def _fill(self, cluster: Cluster, wish: model.Cluster, now: float) -> None:
        self._replace(cluster, self._endpoints(cluster, wish), now)
        for endpoint in cluster.balancer.endpoints:
            link: Link = endpoint.link
            link.connect_timeout_s = wish.connect_timeout_s
            if not link.conns:
                link.dial_more()

    def _endpoints(self, cluster: Cluster, wish: model.Cluster) -> list[Endpoint]:
        """What is known of what is wanted; while a name is unanswered, what there was stays to fill the gap."""
        known = {endpoint.address: endpoint for endpoint in cluster.balancer.endpoints}
        found: list[Endpoint] = []
        unanswered = False
        for target in choose(wish.endpoints, self._salt):
            addresses = self.names.addresses(target.host)
            unanswered = unanswered or addresses is None
            for address in addresses or ():
                endpoint = known.get((address, target.port))
                if endpoint is None:
                    endpoint = known[address, target.port] = Endpoint((address, target.port))
                    Link(cluster, endpoint, self.dial)
                endpoint.weight = target.weight
                endpoint.link.target = target
                found.append(endpoint)
        return cluster.balancer.endpoints + found if unanswered else found

    def _replace(self, cluster: Cluster, endpoints: list[Endpoint], now: float) -> None:
        for endpoint in cluster.balancer.replace(endpoints):
            endpoint.link.remove(now)
        cluster.refresh(now)

    # ---- from time to time

    def used_since(self, since_s: float) -> set[str]:
        """The clusters that have had a request since then, or have one now."""
        return {name for forms in self._forms() for name, form in forms.items() if was_used(form.balancer, since_s)}

    def _forms(self) -> tuple[Mapping[str, Cluster | OpaqueCluster], ...]:
        return self.by_name, self.http1_by_name, self.opaque_by_name

    def end_futile(self, now: float) -> list[Cluster]:
        """Dial no more what does not answer to HTTP/2, and is asked for no more; the next request begins anew.

        What is gone must be forgotten wherever it was decided for.
        """
        futile = [name for name, form in self.by_name.items() if self._is_futile(name, form, now)]
        gone = [self.by_name.pop(name) for name in futile]
        for cluster in gone:
            self._replace(cluster, [], now)
        return gone

    def _is_futile(self, name: str, form: Cluster, now: float) -> bool:
        if form.deserted_since_s < 0 or form.waiting or not form.balancer.endpoints:
            return False
        wish = self.wishes.get(name)
        is_known = wish is None or self._is_known_for_http2(wish)
        return not is_known and now - max(form.asked_s, form.deserted_since_s) > _FUTILE_S

    def retire_surplus(self, now: float) -> None:
        """Close what a burst needed and nobody has used for a while; one connection to each endpoint stays."""
        links = [endpoint.link for cluster in self.by_name.values() for endpoint in cluster.balancer.endpoints]
        idle = {}
        for conn in [conn for link in links if len(link.conns) > 1 for conn in link.conns if conn.open_streams == 0]:
            next_id, since_s = self._surplus.get(conn, (conn.next_id, now))
            idle[conn] = (conn.next_id, since_s if next_id == conn.next_id else now)
            if now - idle[conn][1] >= _SURPLUS_S and len(conn.link.conns) > 1:
                del idle[conn]
                conn.retire(now)
        self._surplus = idle

    def states(self) -> list[EndpointState]:
        """Of each endpoint in each form that its cluster has."""
        now = monotonic()
        return [
            EndpointState(
                name,
                model.join_host_port(*endpoint.address),
                protocol,
                endpoint.ready,
                endpoint.ejected,
                endpoint.rtt(now) * 1000.0,
                endpoint.pending,
            )
            for protocol, forms in zip(_PROTOCOLS, self._forms(), strict=True)
            for name, form in forms.items()
            for endpoint in form.balancer.endpoints
        ]


def choose(endpoints: tuple[model.Endpoint, ...], salt: int) -> tuple[model.Endpoint, ...]:
    """Those to use: all, or of too many a part that changes as little as they do (rendezvous hashing)."""
    if len(endpoints) <= MAX_ENDPOINTS:
        return endpoints
    ranked = sorted(endpoints, key=lambda endpoint: crc32(str(endpoint).encode(), salt))
    return tuple(ranked[:MAX_ENDPOINTS])


def was_used(balancer: Balancer, since_s: float) -> bool:
    return any(endpoint.pending or endpoint.asked_at_s >= since_s for endpoint in balancer.endpoints)
