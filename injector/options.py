"""The command line of `mesh injector`, checked before anything starts. What is wrong is said in one sentence."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from mesh.contract import CLUSTER_DOMAIN, CONTROL_NAMESPACE, CONTROL_SERVICE, XDS_PORT
from mesh.options import Address, Once, OptionError, find_kubeconfig, parse_address

NAME: Final = "gossamer-injector"  # of its Service, its Secret and its webhook configuration
WEBHOOK_PORT, ADMIN_PORT = 8443, 4193
LIFETIME_S: Final = 90 * 86_400.0
LIFETIME_MIN_S: Final = 10.0
DRAIN_S: Final = 5.0
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DURATION: Final = re.compile(r"(\d{1,9})(s|m|h|d)")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EPILOG: Final = f"""\
examples:
  mesh injector --listen [::]:8443 --admin [::]:4193                # as `mesh install` has it
  mesh injector --kubeconfig ~/.kube/config --name 127.0.0.1        # from outside, by a webhook with a URL
  mesh injector --tls-cert tls.crt --tls-key tls.key                # with a certificate of cert-manager

Answers the API server's admission reviews of new pods by the patch that puts the sidecar in. Its certificate is made
here, kept in the Secret {NAME}, renewed when two thirds of its time are over, and written as caBundle into
the webhook configuration {NAME}. SIGTERM: not ready at once, then every review is answered until no more come.
Rights: docs/rbac/injector.yaml. Exit codes: 0 after SIGTERM, 1 if the injector failed, 2 for wrong usage.
"""


class Options(NamedTuple):
    """`settings` are what flags say of the settings (injector.patch.settings), as a settings file would.

    `names` are those that the API server may call us by; the files are None where the certificate is our own.
    """

    listen: Address
    admin: Address
    kubeconfig: str | None
    namespace: str
    config: str | None
    settings: Mapping[str, object]
    names: tuple[str, ...]
    secret: str
    webhook: str
    tls_cert: str | None
    tls_key: str | None
    ca_bundle: str | None
    client_ca: str | None
    lifetime_s: float
    drain_s: float


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mesh injector",
        description="Put the sidecar into pods: the admission webhook.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

    def add(option: str, metavar: str, text: str) -> None:
        parser.add_argument(option, metavar=metavar, action=Once, help=text)

    add("--listen", "HOST:PORT", f"serve reviews here, with TLS (default 127.0.0.1:{WEBHOOK_PORT}); port 0: a free one")
    add("--admin", "HOST:PORT", f"serve /live /ready /metrics here (default 127.0.0.1:{ADMIN_PORT})")
    add("--kubeconfig", "FILE", "how to reach the cluster (default: $KUBECONFIG, else the one whose pod this is)")
    add("--namespace", "NS", f"where our Secret and Service are (default $GOSSAMER_NAMESPACE, {CONTROL_NAMESPACE})")
    add("--config", "FILE", "settings as YAML, read again when the file changes (docs/injection.md)")
    add("--control-plane", "HOST:PORT", "where sidecars find the control plane (default: our namespace's Service)")
    add("--image", "IMAGE", "the image of the sidecar")
    add("--image-pull-policy", "POLICY", "its pull policy: Always, IfNotPresent or Never")
    add("--cluster-domain", "DOMAIN", f"the cluster's DNS domain (default {CLUSTER_DOMAIN})")
    parser.add_argument(
        "--name", metavar="HOST", action="append", help="a name or an IP address more that the API server calls us by"
    )
    add("--webhook", "NAME", f"the MutatingWebhookConfiguration that gets our caBundle (default {NAME})")
    add("--secret", "NAME", f"the Secret with our certificate (default {NAME})")
    add("--certificate-lifetime", "TIME", "how long our certificates are valid, such as 90d (the default) or 12h")
    add("--tls-cert", "FILE", "serve this certificate chain (PEM) instead, read again when it changes")
    add("--tls-key", "FILE", "and its private key (PEM)")
    add("--ca-bundle", "FILE", "and write this as caBundle, which is left alone otherwise")
    add("--client-ca", "FILE", "take reviews only from who has a certificate of these authorities (PEM)")
    add("--drain-delay", "TIME", f"how long reviews are answered after SIGTERM (default {DRAIN_S:g}s)")
    return parser


def parse(argv: list[str]) -> Options:
    """What was asked for. Exits with 2 on usage that argparse sees; raises OptionError on the rest."""
    given = make_parser().parse_args(argv)
    if (given.tls_cert is None) != (given.tls_key is None):
        raise OptionError("--tls-cert and --tls-key go together; give both")
    if given.ca_bundle and not given.tls_cert:
        raise OptionError("--ca-bundle is for --tls-cert; the caBundle of our own certificate is written anyway")
    listen = read_address("--listen", given.listen or f"127.0.0.1:{WEBHOOK_PORT}")
    admin = read_address("--admin", given.admin or f"127.0.0.1:{ADMIN_PORT}")
    if listen == admin and listen.port:
        raise OptionError(f"--listen and --admin are both {listen}; give each its own port")
    namespace = given.namespace or os.environ.get("GOSSAMER_NAMESPACE") or CONTROL_NAMESPACE
    if not _NAMESPACE.fullmatch(namespace):
        raise OptionError(f"--namespace {namespace!r} is no name of a namespace; give one as `kubectl get ns` lists it")
    domain = (given.cluster_domain or CLUSTER_DOMAIN).strip(".")
    lifetime_s = read_duration("--certificate-lifetime", given.certificate_lifetime, LIFETIME_S)
    if lifetime_s < LIFETIME_MIN_S:
        raise OptionError(f"--certificate-lifetime must be at least {LIFETIME_MIN_S:g}s")
    return Options(
        listen=listen,
        admin=admin,
        kubeconfig=find_kubeconfig(given.kubeconfig),
        namespace=namespace,
        config=given.config,
        settings=gather_settings(given, namespace, domain),
        names=name_service(namespace, domain, given.name or []),
        secret=given.secret or NAME,
        webhook=given.webhook or NAME,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        ca_bundle=given.ca_bundle,
        client_ca=given.client_ca,
        lifetime_s=lifetime_s,
        drain_s=read_duration("--drain-delay", given.drain_delay, DRAIN_S),
    )


def gather_settings(given: argparse.Namespace, namespace: str, domain: str) -> dict[str, object]:
    defaults = {"proxy-image": given.image, "proxy-image-pull-policy": given.image_pull_policy}
    return {
        "control_plane": given.control_plane or f"{CONTROL_SERVICE}.{namespace}.svc.{domain}:{XDS_PORT}",
        "defaults": {name: text for name, text in defaults.items() if text},
    }


def name_service(namespace: str, domain: str, more: list[str]) -> tuple[str, ...]:
    """The API server calls NAME.NAMESPACE.svc; the others are for people who try it by hand."""
    return (f"{NAME}.{namespace}.svc", f"{NAME}.{namespace}.svc.{domain}", f"{NAME}.{namespace}", *more)


def read_address(option: str, text: str) -> Address:
    address = parse_address(text)
    if address is None:
        raise OptionError(f"{option} {text!r} is not HOST:PORT")
    return address


def read_duration(option: str, text: str | None, default_s: float) -> float:
    if text is None:
        return default_s
    found = _DURATION.fullmatch(text)
    if found is None:
        raise OptionError(f"{option} {text!r} is not a time such as 30s, 5m, 12h or 90d")
    return float(int(found[1]) * _UNITS_S[found[2]])
