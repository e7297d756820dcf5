"""Runs the iptables programs: which of them are here, what the kernel holds, and the one commit that changes it.

The kernel has two sets of tables, nft and legacy, and each has its programs; rules in the one are unseen by the other,
yet both act. So the set that is in use is taken, and what the other one holds of ours is removed. Where the kernel or
the machine lacks one set, the other serves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.init.fault import KernelError, RulesError, explain, read_capabilities
from proxy.init.rules import find_nat, has_rules, render_removal

BACKENDS = ("nft", "legacy")  # nft first: it is what new systems have, and what answers where nothing is in use yet
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # often not in the PATH of a container
_LOCK_WAIT_S = 10
_TIMEOUT_S = 60
# Chains that the kubelet makes so that others can tell which set it uses (kubernetes-sigs/iptables-wrappers).
_HINTS = (":KUBE-IPTABLES-HINT ", ":KUBE-KUBELET-CANARY ")


@dataclass(frozen=True, slots=True)
class Tables:
    """One of the two sets of tables, for one version of IP."""

    version: int
    backend: str
    save: str
    restore: str

    @property
    def name(self) -> str:
        return f"{family_name(self.version)} ({self.backend})"

    def read(self) -> str:
        """All tables as iptables-save writes them. No table is named, since a legacy one that is named is made."""
        return run([self.save], "")

    def commit(self, text: str) -> None:
        """All of the text comes into force, or nothing."""
        run([self.restore, "--noflush", "-w", str(_LOCK_WAIT_S)], text)


def family_name(version: int) -> str:
    return "iptables" if version == 4 else "ip6tables"


def run(command: list[str], text: str) -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RulesError(f"{command[0]} cannot be run: {error}; install iptables 1.8.4 or newer") from None
    if done.returncode != 0:
        status = Path("/proc/self/status").read_text()
        raise explain(os.path.basename(command[0]), done.stderr, read_capabilities(status))
    return done.stdout


def find_tables(version: int, path: str) -> list[Tables]:
    """The sets that this machine has programs for."""
    return [found for backend in BACKENDS if (found := find_programs(version, backend, path)) is not None]


def find_programs(version: int, backend: str, path: str) -> Tables | None:
    """`iptables-nft-restore` and the like; or the ones without a backend in their names, if that is what they are."""
    family = family_name(version)
    folders = f"{path}:{_SYSTEM_FOLDERS}" if path else _SYSTEM_FOLDERS
    for prefix in (f"{family}-{backend}", family):
        save, restore = (shutil.which(f"{prefix}-{verb}", path=folders) for verb in ("save", "restore"))
        if save and restore and (prefix != family or own_backend(restore) == backend):
            return Tables(version, backend, save, restore)
    return None


def own_backend(restore: str) -> str:
    """Which tables a program writes; before iptables 1.8 there was one kind only."""
    return "nft" if "nf_tables" in run([restore, "--version"], "") else "legacy"


def in_order(tables: list[Tables]) -> Iterator[Tables]:
    """The set that the kernel has rules in comes first; of equals, nft. A set that the kernel lacks comes last."""
    return (found for _, found in sorted(((rank(found), found) for found in tables), key=lambda ranked: ranked[0]))


def rank(tables: Tables) -> tuple[int, int]:
    try:
        saved = tables.read()
    except KernelError:
        return 1, 0
    hinted = any(hint in saved for hint in _HINTS)
    return (-1 if hinted else 0), -sum(line.startswith("-A ") for line in saved.splitlines())


def choose(version: int, backend: str, path: str) -> tuple[list[Tables], list[Tables]]:
    """The sets to try, best first, and the others."""
    present = find_tables(version, path)
    wanted = [found for found in present if backend in ("auto", found.backend)]
    if not wanted:
        kind = "" if backend == "auto" else f"-{backend}"
        raise RulesError(
            f"{family_name(version)}{kind}-restore is not in the PATH: install iptables in the init container's image"
        )
    return list(in_order(wanted)), [found for found in present if found not in wanted]


def apply(version: int, backend: str, path: str, render: Callable[[str], str]) -> Tables:
    """Bring what `render` makes of the nat table into force, and remove older rules of ours from the other set."""
    candidates, others = choose(version, backend, path)
    faults: list[KernelError] = []
    for tables in candidates:
        try:
            tables.commit(render(find_nat(tables.read())))
        except KernelError as fault:
            faults.append(fault)
            continue
        remove([found for found in (*candidates, *others) if found != tables])
        return tables
    raise faults[0]


def remove(present: list[Tables]) -> list[Tables]:
    """Take our rules out of these sets; which of them had any. A set that the kernel lacks has none."""
    cleaned = []
    for tables in present:
        try:
            nat = find_nat(tables.read())
        except KernelError:
            continue
        if has_rules(nat):
            tables.commit(render_removal(nat))
            cleaned.append(tables)
    return cleaned
