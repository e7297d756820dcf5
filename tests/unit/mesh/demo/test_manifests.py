from __future__ import annotations

import yaml

from controlplane.graph.build import build
from controlplane.graph.mesh import GRPC, HTTP2
from controlplane.model.read import KINDS_BY_NAME, read
from controlplane.model.snapshot import Relist, Snapshot
from mesh.demo.application import SERVICES
from mesh.demo.manifests import render


def test_the_control_plane_makes_the_services_of_the_manifests() -> None:
    text = render({"emoji": {"emoji-1": "127.0.0.1:8001", "emoji-2": "127.0.0.1:8002"}, "voting": {}})
    kinds: dict[str, list] = {}
    for raw in yaml.safe_load_all(text):
        kind = KINDS_BY_NAME[raw["apiVersion"], raw["kind"]]
        kinds.setdefault(kind, []).append(read(kind, raw))
    snapshot, _ = Snapshot().after([Relist(kind, tuple(objects)) for kind, objects in kinds.items()])
    mesh = build(snapshot)
    assert sorted(mesh.targets) == [f"{SERVICES[name].authority}.svc.cluster.local:80" for name in ("emoji", "voting")]
    emoji = mesh.targets["emoji.emojivoto.svc.cluster.local:80"]
    assert emoji.protocol in (GRPC, HTTP2)
    assert [(endpoint.host, endpoint.port, endpoint.pod) for endpoint in emoji.endpoints] == [
        ("127.0.0.1", 8001, "emoji-1"),
        ("127.0.0.1", 8002, "emoji-2"),
    ]
