"""`python -m tests.cluster up|down`, which `make cluster` and `make cluster-down` call: a node that stays."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from tests.cluster import mesh_image
from tests.cluster.binaries import search_path
from tests.cluster.node import Node
from tests.cluster.workspace import find_kept, remove_abandoned, remove_kept

# PATH, so that kubectl is the cluster's own; --chdir, since nsenter goes to the root.
ENTER = """#!/bin/sh
exec nsenter --target={pid} --net --mount -- env --chdir="$PWD" KUBECONFIG={kubeconfig} PATH={path} "$@"
"""
USAGE = """Clients and `mesh` commands run inside its network, where its names resolve:
  {folder}/enter kubectl get pods --all-namespaces
  {folder}/enter sh -c 'mesh install | kubectl apply -f -'
  {folder}/enter mesh check --wait
which is short for
  nsenter --target={pid} --net --mount -- env KUBECONFIG={kubeconfig} kubectl get pods --all-namespaces
Logs of its parts: {folder}/*.log. `make cluster-down` removes every trace."""


def start() -> None:
    kept = [folder for folder in find_kept() if (folder / "usage").exists()]
    if kept:
        print("A cluster runs already.", (kept[0] / "usage").read_text(), sep="\n")
        return
    print("Starting a one-node Kubernetes (15 seconds) ...", flush=True)
    node = Node(is_kept=True).__enter__()  # and never leave it
    path = f"{Path(sys.executable).parent}:{search_path()}"  # where `mesh` is
    place = {"pid": node.namespaces.pid, "kubeconfig": node.kubeconfig, "folder": node.folder, "path": path}
    enter = node.folder / "enter"
    enter.write_text(ENTER.format_map(place))
    enter.chmod(0o755)
    load_image(node)
    (node.folder / "usage").write_text(USAGE.format_map(place))
    print("It runs.", USAGE.format_map(place), sep="\n")


def load_image(node: Node) -> None:
    print("Building the mesh's image and giving it to the node (minutes, the first time) ...", flush=True)
    try:
        mesh_image.load(node)
    except pytest.skip.Exception as missing:
        print(f"The node has no image of the mesh: {missing}")


def stop() -> None:
    remove_abandoned()
    count = remove_kept()
    print(f"Removed {count} cluster{'s' if count != 1 else ''}.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("action", choices=("up", "down"))
    try:
        start() if parser.parse_args().action == "up" else stop()
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(f"tests.cluster: {missing}")


if __name__ == "__main__":
    main()
