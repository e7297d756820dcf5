"""The command line of `mesh proxy`: what there is to say, and what may not be said together."""

from __future__ import annotations

import argparse
import os

from mesh.contract import INBOUND_PORT, OUTBOUND_PORT
from mesh.options import Once
from mesh.ports import MAX_PORT, Ports, read_ports

_USAGE = """\
mesh proxy --listen HOST:PORT --to HOST:PORT,... [option...]
       mesh proxy --listen HOST:PORT --control-plane HOST:PORT [option...]
       mesh proxy --config FILE [option...]
       mesh proxy --intercept [--control-plane HOST:PORT] [--config FILE] [option...]"""
OPAQUE_PORTS = "GOSSAMER_OPAQUE_PORTS"
_EPILOG = """\
examples:
  mesh proxy --listen 127.0.0.1:4140 --to 127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003
  mesh proxy --config proxy.yaml
  mesh proxy --control-plane gossamer:4150 --listen 127.0.0.1:4140 --admin 127.0.0.1:4191

With a control plane, a request goes where its authority says, for instance to voting.emojivoto:8080, which is asked for
when it is first called. What --namespace, --zone and --node-name leave out comes from the variables GOSSAMER_NAMESPACE,
GOSSAMER_ZONE and GOSSAMER_NODE, which Kubernetes' downward API can set, as it can GOSSAMER_POD, this sidecar's name.

Every request (gRPC or any HTTP without TLS) is given to the endpoint that answers fastest (peak EWMA of latency,
power of two choices); with --protocol tcp it is every connection. SIGHUP, or a changed file, puts the configuration
into force anew without dropping a request.
`mesh proxy init`, `mesh proxy await` and `mesh proxy drain` are for pods; each has a --help of its own.
SIGTERM lets requests finish, up to the drain timeout. Exit codes: 0 after a drain, 1 if the proxy failed, 2 for wrong
usage.
"""


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mesh proxy",
        usage=_USAGE,
        description="Balance every HTTP request over a set of endpoints.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        action=Once,
        help="YAML file with clusters and routes; with --control-plane or --intercept, with settings alone "
        "(docs/proxy-config.md)",
    )
    parser.add_argument("--listen", metavar="HOST:PORT", action=Once, help="where to accept connections")
    parser.add_argument(
        "--to",
        metavar="HOST:PORT,...",
        action="append",
        help="the endpoints to balance over, commas between them; may be repeated; names are re-resolved",
    )
    parser.add_argument(
        "--protocol",
        choices=("http2", "http", "tcp"),
        action=Once,
        help="what the endpoints speak: http2 (as gRPC does; the default; clients may speak HTTP/1 as well, which is "
        "passed on as HTTP/1), http (HTTP/1 alone), or tcp (anything: whole connections are balanced)",
    )
    parser.add_argument(
        "--admin",
        metavar="HOST:PORT",
        action=Once,
        help="serve /live /ready /metrics /config /shutdown here; [::]:PORT is all addresses, of IPv4 too",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a field of `settings` (docs/proxy-config.md); wins over a file of settings alone; may be repeated",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=1,
        help="processes that share the port (default 1); worker i has its admin port at PORT+i",
    )
    add_mesh_arguments(parser)
    add_interception_arguments(parser)
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        parser.error(explain_rest(parser, rest))
    check_sources(parser, arguments)
    complete_interception(parser, arguments)
    if not 1 <= arguments.workers <= 64:
        parser.error("--workers is a number from 1 to 64")
    return arguments


def explain_rest(parser: argparse.ArgumentParser, rest: list[str]) -> str:
    """What may have been meant by what nobody knows."""
    if not rest[0].startswith("-"):
        return f"unrecognized: {' '.join(rest)} (endpoints are separated by a comma without a space)"
    import difflib  # who makes no mistake does not pay for it

    option = rest[0].partition("=")[0]
    known = [name for action in parser._actions for name in action.option_strings]
    near = difflib.get_close_matches(option, known, 1)
    return f"unrecognized: {option}" + (f"; did you mean {near[0]}?" if near else "; see --help")


def add_mesh_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("as a part of a mesh")
    for name, metavar, help in (
        ("--control-plane", "HOST:PORT", "ask this control plane (xDS) for the endpoints of what is called"),
        ("--namespace", "NS", "where this pod is, which completes short names (default: the pod's own, or default)"),
        ("--zone", "ZONE", "the zone this pod runs in"),
        ("--node-name", "NAME", "the node this pod runs on"),
        ("--cache", "FILE", "keep what is known here, so that a restart does not need the control plane"),
        ("--control-plane-ca", "FILE", "speak TLS to the control plane, and trust these certificates (PEM)"),
    ):
        group.add_argument(name, metavar=metavar, action=Once, help=help)


def add_interception_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("in a pod")
    group.add_argument(
        "--intercept",
        action="store_true",
        help="serve the connections of this pod, both ways, that `mesh proxy init` has led here: HTTP/2, HTTP/1, "
        "anything else as it is",
    )
    for name, port, direction in (
        ("--outbound-port", OUTBOUND_PORT, "the application's own"),
        ("--inbound-port", INBOUND_PORT, "others'"),
    ):
        text = f"where {direction} connections are led to (default {port})"
        group.add_argument(name, metavar="PORT", type=parse_port_number, action=Once, help=text)
    group.add_argument(
        "--opaque-ports",
        metavar="PORTS",
        type=parse_opaque_ports,
        action=Once,
        help="ports of this pod at which others' connections are passed on as they are, such as 25,3000-3010; in place "
        f"of those where servers are known to speak first (default: the variable {OPAQUE_PORTS})",
    )


def parse_opaque_ports(text: str) -> Ports:
    ports = read_ports(text)
    if ports.wrong:
        raise argparse.ArgumentTypeError(
            f"write ports from 1 to 65535 and ranges such as 3000-3010, commas between, not {ports.wrong[0][:60]!a}"
        )
    return ports


def parse_port_number(text: str) -> int:
    number = int(text) if len(text) <= 5 and text.isascii() and text.isdecimal() else 0
    if not 1 <= number <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text[:60]!a} is no port (a number from 1 to {MAX_PORT})")
    return number


def complete_interception(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """What was left out, which only counts where connections are led here."""
    for name in ("outbound_port", "inbound_port", "opaque_ports"):
        if getattr(arguments, name) is not None and not arguments.intercept:
            parser.error(f"--{name.replace('_', '-')} needs --intercept, since only then are connections led here")
    if arguments.outbound_port is None:
        arguments.outbound_port = OUTBOUND_PORT
    if arguments.inbound_port is None:
        arguments.inbound_port = INBOUND_PORT
    if arguments.outbound_port == arguments.inbound_port:
        parser.error(f"--outbound-port and --inbound-port are both {arguments.inbound_port}; give each its own")
    if arguments.intercept and arguments.opaque_ports is None and OPAQUE_PORTS in os.environ:
        try:
            arguments.opaque_ports = parse_opaque_ports(os.environ[OPAQUE_PORTS])
        except argparse.ArgumentTypeError as problem:
            parser.error(f"the variable {OPAQUE_PORTS}: {problem}")


def check_sources(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """One of: a file, endpoints on the command line, a control plane."""
    if arguments.protocol and not arguments.to:
        parser.error("--protocol says what the endpoints of --to speak; in a file it is a field of each cluster")
    if arguments.control_plane:
        if arguments.to:
            parser.error("--control-plane tells the endpoints: leave --to out")
        if not arguments.listen and not arguments.intercept:
            parser.error("--control-plane needs --listen HOST:PORT, or --intercept in a pod")
        return
    for name in ("namespace", "zone", "node_name", "cache", "control_plane_ca"):
        if getattr(arguments, name):
            parser.error(f"--{name.replace('_', '-')} needs --control-plane HOST:PORT")
    if arguments.intercept:
        if arguments.to:
            parser.error("--intercept serves whatever the pod calls: leave --to out")
        return
    if arguments.config and (arguments.listen or arguments.to or arguments.admin or arguments.set):
        parser.error(
            "without --control-plane or --intercept, --config takes no --listen, --to, --admin or --set: "
            "give them in the file"
        )
    if not arguments.config and not (arguments.listen and arguments.to):
        parser.error(
            "give --config FILE, or --listen HOST:PORT and --to HOST:PORT,..., "
            "or --listen HOST:PORT and --control-plane HOST:PORT, or in a pod --intercept"
        )
