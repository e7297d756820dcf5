"""A golden case: Kubernetes objects as a user writes them, and who asks for what.

The last document may be of kind `Clients`, which is not of Kubernetes: each client has the fields of a View, and the
names that it asks for (all targets if it does not say); an Envoy asks with wildcards. `overdue` are UIDs of pods that
were waited for in vain.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controlplane.graph.build import build
from controlplane.graph.mesh import Mesh
from controlplane.model.objects import PODS, SERVICES, SLICES
from controlplane.model.read import read
from controlplane.model.snapshot import Change, Snapshot
from controlplane.translate.resource import SIDECAR, View
from controlplane.translate.translator import Translator

HERE = Path(__file__).parent
KINDS = {"Service": SERVICES, "EndpointSlice": SLICES, "Pod": PODS}


@dataclass(frozen=True, slots=True)
class Client:
    view: View
    listeners: tuple[str, ...]

    def __str__(self) -> str:
        view = self.view
        place = [f"{name} {value}" for name, value in (("zone", view.zone), ("node", view.node)) if value]
        return ", ".join([f"{view.kind} in {view.namespace}", *place])


@dataclass(frozen=True, slots=True)
class Case:
    mesh: Mesh
    clients: tuple[Client, ...]

    def translator(self) -> Translator:
        translator = Translator()
        translator.update(self.mesh, [*self.mesh.targets, *self.mesh.addresses])
        return translator


def inputs() -> list[Path]:
    return sorted(HERE.glob("*.in.yaml"))


def load(*paths: Path, rng: random.Random | None = None) -> Case:
    """The objects of these files in one mesh; with `rng`, as they came in some other order."""
    documents = [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]
    asked = [document for document in documents if document["kind"] == "Clients"]
    objects = [document for document in documents if document["kind"] in KINDS]
    assert len(asked) + len(objects) == len(documents), f"{paths}: a document of another kind"
    if rng is not None:
        rng.shuffle(objects)
    overdue = frozenset(uid for document in asked for uid in document.get("overdue", ()))
    mesh = build(_snapshot(objects), overdue)
    clients = [client for document in asked for client in document["clients"]]
    if not clients:
        clients = [{"kind": SIDECAR, "namespace": objects[0]["metadata"]["namespace"]}]
    return Case(mesh, tuple(_client(fields, mesh) for fields in clients))


def _snapshot(objects: list[dict[str, Any]]) -> Snapshot:
    changes = []
    for raw in objects:
        kind = KINDS[raw["kind"]]
        now = read(kind, raw)
        changes.append(Change(kind, (raw["metadata"]["namespace"], raw["metadata"]["name"]), now))
    return Snapshot().after(changes)[0]


def _client(fields: dict[str, Any], mesh: Mesh) -> Client:
    view = {name: value for name, value in fields.items() if name != "listeners"}
    return Client(View(**view), tuple(fields.get("listeners", sorted(mesh.targets))))
