"""What the command lines of the mesh's services have in common: an option is given once, an address is HOST:PORT."""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple


class OptionError(Exception):
    """Wrong usage, in one sentence."""


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Once(argparse.Action):
    """Take a value, and refuse a second one: argparse alone would drop the first in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def find_kubeconfig(given: str | None) -> str | None:
    """The file that was named, here or as kubectl has it: the first that exists of $KUBECONFIG's."""
    if given:
        return os.path.expanduser(given)
    named = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    return next((path for path in named if os.path.exists(path)), named[0] if named else None)


def parse_address(text: str) -> Address | None:
    """None where it is no HOST:PORT, with an IPv6 address in brackets."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        return None
    return Address(host, int(port))
