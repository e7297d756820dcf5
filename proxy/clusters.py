"""The clusters in force, by name: each with its endpoints, their balancer and their connections.

Shared by all that leads to them: two names of one Service have one cluster. What a new wish leaves as it was is not
touched: endpoints that stay keep their connections and estimates; those that go get no new request from that moment
on, and finish what they have.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random
from time import monotonic
from zlib import crc32

from proxy.balance.endpoint import Endpoint
from proxy.balance.p2c import Balancer
from proxy.metrics.state import EndpointState
from proxy.net.names import Names, is_address
from proxy.relay.cluster import Cluster
from proxy.relay.link import Carrier, Link
from proxy.route import model

# Of a larger cluster each sidecar uses so many, others than its neighbours do.
MAX_ENDPOINTS = 1_000
# A connection beyond the first that a burst needed is closed after this long without a stream.
_SURPLUS_S = 60.0


class Clusters:
    """One per direction. `dial` asks `net` for a connection; `changed` is called when names were resolved anew."""

    def __init__(
        self, dial: Callable[[Link], None], changed: Callable[[], None], random: Callable[[], float] = random
    ) -> None:
        self.dial = dial
        self.changed = changed
        self.by_name: dict[str, Cluster] = {}
        self.wishes: dict[str, model.Cluster] = {}
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
            cluster = self.by_name[wish.name] = Cluster(wish.name, Balancer(), wish.failfast_timeout_s, now)
        return cluster

    def put(self, wish: model.Cluster, now: float) -> bool:
        """Make a cluster what it should be; False where it is already."""
        if self.wishes.get(wish.name) == wish:
            return False
        cluster = self.begin(wish, now)
        cluster.failfast_s = wish.failfast_timeout_s
        self._want_names(wish)
        self.wishes[wish.name] = wish
        self._fill(cluster, wish, now)
        return True

    def drop(self, name: str, now: float) -> Cluster:
        """End a cluster. Who waits in it may be served elsewhere, once the routes are what they should be."""
        del self.wishes[name]
        cluster = self.by_name.pop(name)
        if self._hosts.pop(name, None):
            self.want_names()
        self._replace(cluster, [], now)
        return cluster

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
                self._fill(self.by_name[name], self.wishes[name], now)
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
        now = monotonic()
        return [
            EndpointState(
                name,
                model.join_host_port(*endpoint.address),
                endpoint.ready,
                endpoint.ejected,
                endpoint.rtt(now) * 1000.0,
                endpoint.pending,
            )
            for name, cluster in self.by_name.items()
            for endpoint in cluster.balancer.endpoints
        ]


def choose(endpoints: tuple[model.Endpoint, ...], salt: int) -> tuple[model.Endpoint, ...]:
    """Those to use: all, or of too many a part that changes as little as they do (rendezvous hashing)."""
    if len(endpoints) <= MAX_ENDPOINTS:
        return endpoints
    ranked = sorted(endpoints, key=lambda endpoint: crc32(str(endpoint).encode(), salt))
    return tuple(ranked[:MAX_ENDPOINTS])
