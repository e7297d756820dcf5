"""`mesh proxy init`: options in, rules in force for each version of IP that the pod has, one sentence out."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from proxy.errors import ConfigError
from proxy.init.arguments import parse, read_settings
from proxy.init.fault import RulesError
from proxy.init.firewall import Tables, apply, family_name, find_tables, remove
from proxy.init.rules import render_removal, render_rules
from proxy.init.settings import Settings
from proxy.init.whereabouts import check_network

_IF_INET6 = Path("/proc/net/if_inet6")
_GLOBAL_SCOPE = "00"


def main(argv: list[str]) -> int:
    arguments = parse(argv)
    try:
        settings = read_settings(arguments)
        if arguments.simulate:
            sys.stdout.write(simulate(arguments, settings))
        elif arguments.delete:
            say(describe_removal(delete()))
        else:
            check_network(os.environ)
            intercept(arguments, settings)
    except ConfigError as error:
        say(str(error))
        return 2
    except RulesError as error:
        say(str(error))
        return 1
    return 0


def say(sentence: str) -> None:
    sys.stderr.write(f"mesh proxy init: {sentence}\n")


def read_ipv6_scopes() -> set[str]:
    """The scopes of this namespace's IPv6 addresses, as the kernel numbers them; none if it has no IPv6."""
    try:
        lines = _IF_INET6.read_text().splitlines()
    except OSError:
        return set()
    return {line.split()[3] for line in lines}


def versions(ipv6: str) -> tuple[int, ...]:
    """The versions of IP to write rules for."""
    return (4, 6) if ipv6 == "on" or (ipv6 == "auto" and read_ipv6_scopes()) else (4,)


def simulate(arguments: argparse.Namespace, settings: Settings) -> str:
    """What a namespace without rules of ours would be given, or one with the rules of these settings freed from."""
    parts = []
    for version in versions(arguments.ipv6):
        text = render_rules(settings, version, "")
        if arguments.delete:
            text = render_removal(f"*nat\n{text}")
        parts.append(f"# {family_name(version)}-restore --noflush\n{text}")
    return "".join(parts)


def intercept(arguments: argparse.Namespace, settings: Settings) -> None:
    path = os.environ.get("PATH", "")
    done: list[Tables] = []
    for version in versions(arguments.ipv6):

        def render(nat: str, version: int = version) -> str:
            return render_rules(settings, version, nat)

        try:
            done.append(apply(version, arguments.backend, path, render))
        except RulesError as error:
            # IPv6 that nobody can reach from outside of the link need not stop the pod.
            if version == 4 or arguments.ipv6 == "on" or _GLOBAL_SCOPE in read_ipv6_scopes():
                raise
            say(f"IPv6 is left alone, since the pod has no address of it beyond its link, and {error}")
    say(
        f"new TCP connections from this pod go to port {settings.outbound_port} and those to it to port "
        f"{settings.inbound_port}: {', '.join(tables.name for tables in done)}"
    )


def delete() -> list[Tables]:
    """Remove what any earlier run has left, for both versions of IP and in both kinds of tables."""
    path = os.environ.get("PATH", "")
    return [tables for version in (4, 6) for tables in remove(find_tables(version, path))]


def describe_removal(cleaned: list[Tables]) -> str:
    return f"removed from {', '.join(tables.name for tables in cleaned)}" if cleaned else "there was nothing to remove"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
