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
) -> int:
    """Ask for the sidecar in manifests, or write it into them: mesh inject app.yaml | kubectl apply -f -"""
    from mesh.inject import session

    return session.inject(sources, manual, control_plane, options or [])


def uninject(sources: Sources) -> int:
    """Take the sidecar, and the label that asks for it, out of manifests."""
    from mesh.inject import session

    return session.uninject(sources)
