"""Prints the versions of all resources of all golden cases, as one process sees them, the objects in any order."""

from __future__ import annotations

import json
import random
import sys

from controlplane.translate.resource import ENVOY, GRPC, View
from tests.golden.case import Client, inputs, load
from tests.golden.walk import ask

PLACES = (("", ""), ("zone-a", "node-1"), ("zone-b", "node-2"))


def versions(rng: random.Random) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in inputs():
        case = load(path, rng=rng)
        translator = case.translator()
        views = [View(kind, "shop", zone, node) for kind in (GRPC, ENVOY) for zone, node in PLACES]
        rng.shuffle(views)
        for view in views:
            for (type_url, name), resource in ask(translator, Client(view, tuple(case.mesh.targets))).items():
                assert resource is not None
                found[f"{path.name} {view} {type_url} {name}"] = resource.version
    return found


if __name__ == "__main__":
    print(json.dumps(versions(random.Random(sys.argv[1])), sort_keys=True))
