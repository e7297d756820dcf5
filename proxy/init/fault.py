"""What an iptables program says when it fails, as one sentence for the person who has to mend it.

The programs say the same thing in many ways, and "permission denied" may mean three; the process's own capabilities
tell which. Where nothing is known, their own first line is passed on.
"""

from __future__ import annotations

import re

NET_ADMIN, NET_RAW = 12, 13  # bits of CapEff, capability.h
_CAPABILITIES = re.compile(r"^CapEff:\s*([0-9a-fA-F]+)$", re.MULTILINE)
_NO_KERNEL_PART = (
    "could not fetch rule set generation id",
    "table does not exist",
    "unable to initialize table",
    "iptables who?",
    "missing kernel module",
    "protocol not supported",
    "no chain/target/match by that name",
    "rule_append failed (no such file or directory)",
    "rule_append failed (operation not supported)",
)
_CAUSES = (
    (
        ("permission denied", "operation not permitted", "you must be root"),
        "this network namespace may not be changed from here: run it as root of the user namespace that made the pod",
    ),
    (("open lock file",), "its lock file cannot be made: give the init container a writable /run"),
    (("holding the xtables lock",), "another program kept the tables locked: run it again"),
)


class RulesError(Exception):
    """The rules cannot be read or written. The message is complete: print it and exit with 1."""


class KernelError(RulesError):
    """The kernel lacks a part that this set of tables needs; the other set may do."""


def read_capabilities(status: str) -> int:
    """The effective capabilities in /proc/self/status; all of them if it does not say."""
    found = _CAPABILITIES.search(status)
    return int(found[1], 16) if found else -1


def explain(program: str, stderr: str, capabilities: int) -> RulesError:
    """Why `program` failed and what to do, in one sentence."""
    for name, bit in (("NET_ADMIN", NET_ADMIN), *((("NET_RAW", NET_RAW),) if "legacy" in program else ())):
        if not capabilities >> bit & 1:
            return RulesError(
                f"{program} needs the capability {name}: add it to the init container's securityContext.capabilities"
            )
    said = first_line(stderr)
    text = stderr.lower()
    for patterns, advice in _CAUSES:
        if any(pattern in text for pattern in patterns):
            return RulesError(f"{program} failed: {advice} (it said: {said})")
    if any(pattern in text for pattern in _NO_KERNEL_PART):
        return KernelError(
            f"{program} failed: load the kernel modules that it needs on the node, or choose the other --backend "
            f"(it said: {said})"
        )
    return RulesError(f"{program} failed: {said or 'it did not say why'}")


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
