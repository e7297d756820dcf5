"""The command lines of `mesh inject` and `mesh uninject`. What they do is imported only when they run."""

from __future__ import annotations

from typing import Annotated

import typer

Sources = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="Manifests: files, directories, URLs, or - for stdin.")
]


def inject(
    sources: Sources,
    manual: Annotated[
        bool, typer.Option("--manual", help="Write the sidecar out, instead of a label that asks the webhook for it.")
    ] = False,
    control_plane: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="With --manual: where sidecars find the control plane.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="With --manual: an option for all pods, as in docs/injection.md."
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", "-n", metavar="NS", help="With --manual: where Gossamer is installed, and its control plane."
        ),
    ] = None,
    from_cluster: Annotated[
        bool,
        typer.Option(
            "--from-cluster", help="With --manual: write what the webhook of the cluster would put in, by its settings."
        ),
    ] = False,
    kubeconfig: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="With --from-cluster: how to reach the cluster (default: as kubectl)."),
    ] = None,
) -> int:
    """Ask for the sidecar in manifests, or write it into them: mesh inject app.yaml | kubectl apply -f -"""
    from mesh.inject import session
    from mesh.inject.asking import Asked

    asked = Asked(manual, control_plane, options or [], namespace, from_cluster, kubeconfig)
    return session.inject(sources, asked)


def uninject(sources: Sources) -> int:
    """Take the sidecar, and the label that asks for it, out of manifests."""
    from mesh.inject import session

    return session.uninject(sources)
