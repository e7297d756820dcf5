"""The command line of `mesh controlplane`, checked before anything starts. What is wrong is said in one sentence."""

from __future__ import annotations

import argparse
from typing import Final, NamedTuple

from mesh.contract import CONTROL_ADMIN_PORT, XDS_PORT
from mesh.options import Address, Once, OptionError, find_kubeconfig, parse_address

_EPILOG: Final = """\
examples:
  mesh controlplane --source files:./manifests --xds 127.0.0.1:4150 --admin 127.0.0.1:4192
  mesh controlplane --source kubernetes --kubeconfig ~/.kube/config --xds 127.0.0.1:4150
  mesh controlplane --source kubernetes --namespace shop --xds 0.0.0.0:4150 --admin [::]:4192

Reads Services, EndpointSlices and Pods, and serves what follows from them over xDS (ADS, incremental and
state-of-the-world) to sidecars (`mesh proxy --control-plane`), to gRPC clients (`xds:///NAME.NAMESPACE.svc.DOMAIN:80`)
and to Envoy. Nothing is served before all of it has been read. SIGTERM ends the streams one after the other. Exit
codes: 0 after SIGTERM, 1 if the control plane failed, 2 for wrong usage.
"""


class Options(NamedTuple):
    """`directory` is None where the source is Kubernetes."""

    directory: str | None
    kubeconfig: str | None
    namespace: str | None
    domain: str
    xds: Address
    admin: Address
    tls_cert: str | None
    tls_key: str | None
    close_when_stale: bool


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mesh controlplane",
        description="Serve the mesh's configuration over xDS.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

    def add(option: str, metavar: str, text: str) -> None:
        parser.add_argument(option, metavar=metavar, action=Once, help=text)

    add("--source", "SOURCE", "kubernetes, or files:DIR for a directory of manifests that is watched")
    add("--xds", "HOST:PORT", f"where xDS clients connect (default 127.0.0.1:{XDS_PORT}); port 0 takes a free one")
    where = f"127.0.0.1:{CONTROL_ADMIN_PORT}"
    add("--admin", "HOST:PORT", f"serve /live /ready /metrics /debug/config here (default {where})")
    add("--kubeconfig", "FILE", "how to reach the cluster (default: $KUBECONFIG, else the one whose pod this is)")
    add("--namespace", "NS", "watch this namespace only, with rights in it only (default: all)")
    add("--cluster-domain", "DOMAIN", "the cluster's DNS domain (default cluster.local)")
    add("--tls-cert", "FILE", "serve xDS with TLS: the certificate chain (PEM)")
    add("--tls-key", "FILE", "and its private key (PEM)")
    parser.add_argument(
        "--when-stale",
        choices=("serve", "close"),
        default="serve",
        help="when the source has not been heard for 2 minutes: keep serving what is known (default), or close all "
        "streams so that clients go to a better replica; choose close where there are several",
    )
    return parser


def parse(argv: list[str]) -> Options:
    """What was asked for. Exits with 2 on usage that argparse sees; raises OptionError on the rest."""
    parser = make_parser()
    given = parser.parse_args(argv)
    directory = read_source(given.source)
    if directory is not None and (given.kubeconfig or given.namespace):
        option = "--kubeconfig" if given.kubeconfig else "--namespace"
        raise OptionError(f"{option} is for --source kubernetes; files are all read")
    if (given.tls_cert is None) != (given.tls_key is None):
        raise OptionError("--tls-cert and --tls-key go together; give both")
    xds = read_address("--xds", given.xds or f"127.0.0.1:{XDS_PORT}")
    admin = read_address("--admin", given.admin or f"127.0.0.1:{CONTROL_ADMIN_PORT}")
    if xds == admin and xds.port:
        raise OptionError(f"--xds and --admin are both {xds}; give each its own port")
    return Options(
        directory=directory,
        kubeconfig=find_kubeconfig(given.kubeconfig),
        namespace=given.namespace,
        domain=read_domain(given.cluster_domain or "cluster.local"),
        xds=xds,
        admin=admin,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        close_when_stale=given.when_stale == "close",
    )


def read_source(source: str | None) -> str | None:
    """The directory, None for Kubernetes."""
    if source is None:
        raise OptionError("give --source kubernetes, or --source files:DIR")
    kind, colon, rest = source.partition(":")
    if kind == "kubernetes" and not colon:
        return None
    if kind == "files" and rest:
        return rest
    raise OptionError(f"--source {source!r} is neither kubernetes nor files:DIR")


def read_address(option: str, text: str) -> Address:
    address = parse_address(text)
    if address is None:
        raise OptionError(f"{option} {text!r} is no HOST:PORT; write 127.0.0.1:4150, or [::1]:4150")
    return address


def read_domain(text: str) -> str:
    domain = text.strip(".").lower()
    if not domain or not all(part and part.replace("-", "").isalnum() for part in domain.split(".")):
        raise OptionError(f"--cluster-domain {text!r} is no DNS name; the usual one is cluster.local")
    return domain
