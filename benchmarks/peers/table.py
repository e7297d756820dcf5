"""The peers of a full run, in the order of the report."""

from __future__ import annotations

from benchmarks.peers import envoy, gossamer, haproxy, naive, nghttpx, nginx
from benchmarks.peers.peer import Peer

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (gossamer.PEER, envoy.PEER, haproxy.PEER, nginx.PEER, nghttpx.PEER, naive.PEER)
}
