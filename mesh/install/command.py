"""The command lines of `mesh install`, `mesh upgrade` and `mesh uninstall`. What they do is in `mesh.install.work`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from mesh.contract import CONTROL_NAMESPACE

NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Where it is installed.", metavar="NS")]
SingleOption = Annotated[
    bool, typer.Option("--single-namespace", help="Serve this namespace only, with rights in it only; no webhook.")
]
HaOption = Annotated[
    bool, typer.Option("--ha", help="Several replicas on different nodes, disruption budgets, failurePolicy Fail.")
]
SetOption = Annotated[list[str], typer.Option("--set", help="One value; may be repeated.", metavar="KEY=VALUE")]
FileOption = Annotated[
    list[str],
    typer.Option("--values", "-f", help="A YAML file of values, - for stdin; may be repeated.", metavar="FILE"),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be created and changed instead of manifests.")
]
IgnoreOption = Annotated[bool, typer.Option("--ignore-cluster", help="Ask no cluster.")]
KubeconfigOption = Annotated[
    str | None, typer.Option("--kubeconfig", help="How to reach the cluster (default: as kubectl).", metavar="FILE")
]


def install(
    namespace: NamespaceOption = CONTROL_NAMESPACE,
    single_namespace: SingleOption = False,
    ha: HaOption = False,
    settings: SetOption = [],  # noqa: B006  # typer's way to say that an option may be repeated
    files: FileOption = [],  # noqa: B006
    dry_run: DryRunOption = False,
    ignore_cluster: IgnoreOption = False,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Print the manifests of Gossamer: mesh install | kubectl apply -f -"""
    from mesh.install import work  # here, as it brings YAML and more to every start of `mesh`

    given = work.Given(namespace, ha, files, settings, kubeconfig, dry_run)
    run("install", lambda: work.install(given, single_namespace, ignore_cluster))


def upgrade(
    namespace: NamespaceOption = CONTROL_NAMESPACE,
    ha: HaOption = False,
    settings: SetOption = [],  # noqa: B006
    files: FileOption = [],  # noqa: B006
    dry_run: DryRunOption = False,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Print the manifests of this version with the values of the installation: mesh upgrade | kubectl apply -f -"""
    from mesh.install import work

    run("upgrade", lambda: work.upgrade(work.Given(namespace, ha, files, settings, kubeconfig, dry_run)))


def uninstall(
    namespace: NamespaceOption = CONTROL_NAMESPACE,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete CRDs too, and with them all objects of their kinds.")
    ] = False,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Print what there is of Gossamer in the cluster: mesh uninstall | kubectl delete -f -"""
    from mesh.install import work

    run("uninstall", lambda: work.uninstall(namespace, purge, kubeconfig))


def run(name: str, do: Callable[[], str]) -> None:
    """Print what it makes, all or nothing; what is wrong ends as one sentence on stderr."""
    from mesh.install.saying import Refused
    from mesh.install.values import ValuesError

    try:
        text = do()
    except ValuesError as error:
        print(f"mesh {name}: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except Refused as refused:
        print(f"mesh {name}: {refused}", file=sys.stderr)
        raise typer.Exit(refused.code) from None
    sys.stdout.write(text)
