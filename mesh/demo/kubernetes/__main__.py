"""`python -m mesh.demo.kubernetes > docs/voting.yaml`: the application's manifests, for any cluster."""

from __future__ import annotations

from typing import Any

import yaml

from mesh.demo.kubernetes.manifests import Application


class Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: anchors are hard to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml() -> str:
    return yaml.dump_all(Application().everything(), Dumper=Dumper, sort_keys=False, width=120)


if __name__ == "__main__":
    print(to_yaml(), end="")
