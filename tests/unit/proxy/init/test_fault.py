"""The sentences, from what the programs of iptables 1.8 have been seen to say."""

from __future__ import annotations

import pytest

from proxy.init.fault import NET_ADMIN, NET_RAW, KernelError, RulesError, explain, read_capabilities

ALL = -1
DENIED = (
    "iptables-nft-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)"
)


@pytest.mark.parametrize(
    "said",
    [
        "iptables-nft-save v1.8.7 (nf_tables): Could not fetch rule set generation id: Invalid argument",
        "iptables v1.8.8: can't initialize iptables table `nat': Table does not exist (do you need to insmod?)",
        "iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table 'nat'",
        "iptables-save v1.8.7 (legacy): Cannot initialize: iptables who? (do you need to insmod?)",
        "Warning: Extension REDIRECT revision 0 not supported, missing kernel module?",
        "iptables-nft-restore: line 3: RULE_APPEND failed (No such file or directory): rule in chain GOSSAMER_INBOUND",
        "iptables: No chain/target/match by that name.",
    ],
)
def test_what_the_kernel_lacks(said: str) -> None:
    fault = explain("iptables-nft-restore", f"\n{said}\nmore\n", ALL)
    assert isinstance(fault, KernelError)
    assert str(fault).endswith(f"(it said: {said})")
    assert "load the kernel modules that it needs on the node, or choose the other --backend" in str(fault)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (DENIED, "run it as root of the user namespace that made the pod"),
        (
            "Fatal: can't open lock file /run/xtables.lock: Read-only file system",
            "give the init container a writable /run",
        ),
        ("Another app is currently holding the xtables lock; still 1s 0us time ahead", "run it again"),
        ("iptables-restore: line 5 failed", "iptables-legacy-restore failed: iptables-restore: line 5 failed"),
        ("", "it did not say why"),
    ],
)
def test_other_causes(said: str, advice: str) -> None:
    fault = explain("iptables-legacy-restore", said, ALL)
    assert type(fault) is RulesError
    assert advice in str(fault)
    assert "\n" not in str(fault)


def test_a_missing_right_is_told_before_anything_else() -> None:
    assert "capability NET_ADMIN" in str(explain("iptables-nft-save", DENIED, ALL & ~(1 << NET_ADMIN)))
    assert "capability NET_RAW" in str(explain("iptables-legacy-save", DENIED, ALL & ~(1 << NET_RAW)))
    assert "capability" not in str(explain("iptables-nft-save", DENIED, ALL & ~(1 << NET_RAW)))


def test_capabilities_as_the_kernel_lists_them() -> None:
    assert read_capabilities("Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000003000\n") == 0x3000
    assert read_capabilities("") == ALL
