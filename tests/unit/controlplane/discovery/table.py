"""A catalog over a dict, and clients of both protocols that keep what they are sent, as a real client would."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import Node
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.rpc.status_pb2 import Status

from controlplane.discovery import exchange as discovery
from controlplane.discovery.stream import Push, Stream
from controlplane.translate.resource import CDS, EDS, LDS, RDS, Resource, View

SIDECAR_NODE = Node(id="voting-1.demo", user_agent_name="gossamer")
ENVOY_NODE = Node(id="envoy-1.demo", user_agent_name="envoy")


def make_resource(type_url: str, name: str, content: str, size: int = 0) -> Resource:
    """A real message of its type that carries `content` in some string field."""
    text = content + "x" * size
    message = {
        CDS: lambda: Cluster(name=name, alt_stat_name=text),
        EDS: lambda: ClusterLoadAssignment(cluster_name=name, endpoints=[{"locality": {"zone": text}}]),
        LDS: lambda: Listener(name=name, stat_prefix=text),
        RDS: lambda: RouteConfiguration(name=name, virtual_hosts=[{"name": text, "domains": ["*"]}]),
    }[type_url]()
    body = message.SerializeToString(deterministic=True)
    return Resource(type_url, name, hashlib.sha256(body).hexdigest()[:16], body)


class Exchange(discovery.Exchange):
    """Every change of the table may change what the wildcard stands for."""

    def announce(self, keys: Collection[str], now: float, since: float | None = None) -> list[Stream]:
        return super().announce([*keys, "*"], now, since)


class Table:
    """A catalog: each name is its own key; the wildcard stands for all names but those that are `hidden`."""

    def __init__(self) -> None:
        self.hidden = {"hidden"}
        self.resources: dict[tuple[str, str], Resource] = {}
        self.gets = 0

    def put(self, type_url: str, name: str, content: str, size: int = 0) -> str:
        self.resources[type_url, name] = make_resource(type_url, name, content, size)
        return name

    def remove(self, type_url: str, name: str) -> str:
        self.resources.pop((type_url, name), None)
        return name

    def get(self, type_url: str, name: str, view: View) -> Resource | None:
        self.gets += 1
        return self.resources.get((type_url, name))

    def keys(self, type_url: str, name: str, view: View) -> tuple[str, ...]:
        return (name,)

    def wildcard(self, type_url: str, view: View) -> set[str]:
        return {name for kind, name in self.resources if kind == type_url and name not in self.hidden}


@dataclass
class Reply:
    """One response, as the client reads it."""

    type_url: str
    nonce: str
    version: str
    names: list[str]
    removed: list[str]


@dataclass
class Client:
    """What both clients keep: `held` is name -> version or body by type, `unacked` the replies not yet answered."""

    exchange: Exchange
    stream: Stream
    node: Node
    held: dict[str, dict[str, str]] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    unacked: list[Reply] = field(default_factory=list)
    introduced: bool = False
    now: float = inf

    def pull(self) -> list[Reply]:
        """Take what the server has to say."""
        pushes = self.stream.take(self.now)
        fresh = [self.read(push) for push in pushes]
        self.replies += fresh
        self.unacked += fresh
        return fresh

    def read(self, push: Push) -> Reply:
        raise NotImplementedError

    def ack(self, reply: Reply, problem: str = "") -> None:
        raise NotImplementedError

    def settle(self) -> list[Reply]:
        """Take and acknowledge until there is nothing more."""
        seen: list[Reply] = []
        while True:
            seen += self.pull()
            if not self.unacked:
                return seen
            for reply in tuple(self.unacked):
                self.ack(reply)

    def _node(self) -> Node | None:
        node = None if self.introduced else self.node
        self.introduced = True
        return node


class DeltaClient(Client):
    def __init__(self, exchange: Exchange, node: Node = SIDECAR_NODE, address: str = "") -> None:
        super().__init__(exchange, exchange.open_delta(address), node)

    def send(
        self,
        type_url: str,
        subscribe: Iterable[str] = (),
        unsubscribe: Iterable[str] = (),
        initial: Mapping[str, str] | None = None,
        nonce: str = "",
        problem: str = "",
    ) -> None:
        request = DeltaDiscoveryRequest(
            node=self._node(),
            type_url=type_url,
            resource_names_subscribe=list(subscribe),
            resource_names_unsubscribe=list(unsubscribe),
            initial_resource_versions=dict(initial or {}),
            response_nonce=nonce,
            error_detail=Status(code=3, message=problem) if problem else None,
        )
        self.stream.receive(request.SerializeToString())

    def read(self, push: Push) -> Reply:
        response = DeltaDiscoveryResponse.FromString(push.data)
        held = self.held.setdefault(response.type_url, {})
        for item in response.resources:
            assert item.resource.type_url == response.type_url
            held[item.name] = item.version
        for name in response.removed_resources:
            held.pop(name, None)
        names = [item.name for item in response.resources]
        assert len(set(names)) == len(names)
        removed = list(response.removed_resources)
        return Reply(response.type_url, response.nonce, response.system_version_info, names, removed)

    def ack(self, reply: Reply, problem: str = "") -> None:
        self.unacked.remove(reply)
        self.send(reply.type_url, nonce=reply.nonce, problem=problem)


class SotwClient(Client):
    def __init__(self, exchange: Exchange, node: Node = SIDECAR_NODE, address: str = "") -> None:
        super().__init__(exchange, exchange.open_sotw(address), node)
        self.asked: dict[str, list[str]] = {}
        self.nonces: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def send(self, type_url: str, names: Iterable[str] = (), problem: str = "", nonce: str | None = None) -> None:
        """With the last nonce, every request acknowledges, whatever else it is for."""
        self.asked[type_url] = list(names)
        if nonce is None:
            self.unacked = [reply for reply in self.unacked if reply.type_url != type_url]
        request = DiscoveryRequest(
            node=self._node(),
            type_url=type_url,
            resource_names=self.asked[type_url],
            version_info=self.versions.get(type_url, ""),
            response_nonce=self.nonces.get(type_url, "") if nonce is None else nonce,
            error_detail=Status(code=3, message=problem) if problem else None,
        )
        self.stream.receive(request.SerializeToString())

    def read(self, push: Push) -> Reply:
        response = DiscoveryResponse.FromString(push.data)
        messages = {CDS: Cluster, EDS: ClusterLoadAssignment, LDS: Listener, RDS: RouteConfiguration}
        fresh = {}
        for item in response.resources:
            message = messages[response.type_url].FromString(item.value)
            name = message.cluster_name if response.type_url == EDS else message.name
            assert name not in fresh
            fresh[name] = hashlib.sha256(item.value).hexdigest()[:16]
        whole = response.type_url in (CDS, LDS)
        held = self.held.get(response.type_url, {})
        self.held[response.type_url] = fresh if whole else held | fresh
        self.nonces[response.type_url] = response.nonce
        return Reply(response.type_url, response.nonce, response.version_info, list(fresh), [])

    def ack(self, reply: Reply, problem: str = "") -> None:
        if not problem:
            self.versions[reply.type_url] = reply.version
        self.send(reply.type_url, self.asked[reply.type_url], problem)
