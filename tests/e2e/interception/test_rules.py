"""What `mesh proxy init` leaves in the kernel's tables: run again, run otherwise, run after another, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.interception.conftest import require_backend
from tests.e2e.interception.scene import MESH, init, read_rules
from tests.netns.network import Namespace

SETTINGS = ("--skip-inbound-ports=25,8000-8100", "--skip-outbound-ports=5432", "--skip-subnets=10.0.0.0/8,fd00::/8")
BROKEN = "#!/bin/sh\necho '{said}' >&2\nexit 4\n"
NO_NFT = "iptables-nft v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument"
NO_REDIRECT = "iptables-nft-restore: line 5: RULE_APPEND failed (No such file or directory): rule in chain X"


@contextmanager
def fresh() -> Iterator[Namespace]:
    made = Namespace()
    try:
        yield made
    finally:
        made.close()


def has_ours(rules: dict[str, list[str]]) -> bool:
    return any("GOSSAMER" in line for lines in rules.values() for line in lines)


def fail(pod: Namespace, *command: str) -> str:
    """What the command says on stderr; it must fail with exit code 1, in one sentence."""
    done = pod.run(command)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("mesh proxy init: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_second_run_changes_nothing(pod: Namespace, backend: str) -> None:
    init(pod, f"--backend={backend}", *SETTINGS)
    first = read_rules(pod, backend)
    assert has_ours(first)
    init(pod, f"--backend={backend}", *SETTINGS)
    assert read_rules(pod, backend) == first


def test_other_settings_replace_the_rules_whole(pod: Namespace, backend: str) -> None:
    init(pod, f"--backend={backend}", *SETTINGS)
    init(pod, f"--backend={backend}", "--outbound-port=5140")
    with fresh() as other:
        init(other, f"--backend={backend}", "--outbound-port=5140")
        assert read_rules(pod, backend) == read_rules(other, backend)


def test_what_an_unknown_version_of_us_has_left_is_replaced(pod: Namespace, backend: str) -> None:
    older = (
        "*nat\n:GOSSAMER_OUTBOUND - [0:0]\n:GOSSAMER_OLD - [0:0]\n-A GOSSAMER_OUTBOUND -j GOSSAMER_OLD\n"
        "-A OUTPUT -p tcp -j GOSSAMER_OUTBOUND\n-A OUTPUT -p tcp -j GOSSAMER_OUTBOUND\n-A INPUT -j GOSSAMER_OLD\n"
        "COMMIT\n"
    )
    pod.run([f"iptables-{backend}-restore", "--noflush"], check=True, input=older)
    init(pod, f"--backend={backend}")
    with fresh() as other:
        init(other, f"--backend={backend}")
        assert read_rules(pod, backend) == read_rules(other, backend)


def test_rules_of_others_stay_and_keep_their_places(pod: Namespace, backend: str) -> None:
    for family in ("iptables", "ip6tables"):
        pod.configure(f"{family}-{backend} -t nat -A OUTPUT -p tcp --dport 1 -j RETURN")
    before = read_rules(pod, backend)
    init(pod, f"--backend={backend}")
    for family in ("iptables", "ip6tables"):
        pod.configure(f"{family}-{backend} -t nat -A OUTPUT -p tcp --dport 2 -j RETURN")
    once = read_rules(pod, backend)
    init(pod, f"--backend={backend}")
    assert read_rules(pod, backend) == once
    init(pod, "--delete")
    for family in ("iptables", "ip6tables"):
        pod.configure(f"{family}-{backend} -t nat -D OUTPUT -p tcp --dport 2 -j RETURN")
    assert read_rules(pod, backend) == before


def test_a_removal_leaves_nothing(pod: Namespace, backend: str) -> None:
    init(pod, f"--backend={backend}", *SETTINGS)
    assert "removed from" in init(pod, "--delete").stderr
    left = read_rules(pod, backend)
    assert {line[0] for lines in left.values() for line in lines} == {"*", ":", "C"}
    assert not has_ours(left)
    assert "nothing to remove" in init(pod, "--delete").stderr


def test_what_is_simulated_is_what_is_applied(pod: Namespace, backend: str) -> None:
    text = init(pod, "--simulate", "--ipv6=on", *SETTINGS).stdout
    init(pod, f"--backend={backend}", *SETTINGS)
    with fresh() as other:
        for part in text.split("# ip")[1:]:
            command, _, rules = part.partition("\n")
            family = f"ip{command.partition('-restore')[0]}"
            other.run([f"{family}-{backend}-restore", "--noflush"], check=True, input=rules)
        assert read_rules(other, backend) == read_rules(pod, backend)


def test_a_simulation_needs_no_rights_and_touches_nothing(pod: Namespace, backend: str) -> None:
    simulate = [*MESH, "proxy", "init", "--simulate", f"--backend={backend}"]
    done = pod.run(["setpriv", "--bounding-set=-net_admin,-net_raw", *simulate], check=True)
    assert "-j REDIRECT --to-ports 4140" in done.stdout
    init(pod, "--simulate", "--delete")
    assert not has_ours(read_rules(pod, backend))


def test_rules_in_the_other_kind_of_tables_are_removed(pod: Namespace) -> None:
    for backend in ("nft", "legacy"):
        require_backend(backend)
    init(pod, "--backend=legacy")
    init(pod, "--backend=nft")
    assert (has_ours(read_rules(pod, "legacy")), has_ours(read_rules(pod, "nft"))) == (False, True)
    init(pod, "--backend=legacy")
    assert (has_ours(read_rules(pod, "legacy")), has_ours(read_rules(pod, "nft"))) == (True, False)


@pytest.mark.parametrize("used", ["nft", "legacy"])
def test_the_tables_that_hold_rules_are_used(pod: Namespace, used: str) -> None:
    require_backend(used)
    pod.configure(f"iptables-{used} -A INPUT -p tcp --dport 1 -j ACCEPT")
    assert f"iptables ({used})" in init(pod, "--ipv6=off").stderr
    assert has_ours(read_rules(pod, used))


@pytest.mark.parametrize("used", ["nft", "legacy"])
def test_the_kubelets_hint_counts_more_than_many_rules(pod: Namespace, used: str) -> None:
    require_backend(used)
    other = "legacy" if used == "nft" else "nft"
    pod.configure(
        f"iptables-{used} -t mangle -N KUBE-IPTABLES-HINT; iptables-{other} -A INPUT -p tcp --dport 1 -j ACCEPT"
    )
    assert f"iptables ({used})" in init(pod, "--ipv6=off").stderr


@pytest.mark.parametrize(
    ("verbs", "said"), [(("save", "restore"), NO_NFT), (("restore",), NO_REDIRECT)], ids=["no nft", "nft without nat"]
)
def test_legacy_tables_serve_where_the_kernel_lacks_the_others(
    pod: Namespace, verbs: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    require_backend("legacy")
    for verb in verbs:
        program = tmp_path / f"iptables-nft-{verb}"
        program.write_text(BROKEN.format(said=said))
        program.chmod(0o755)
    path = ("env", f"PATH={tmp_path}:/usr/bin:/bin:/usr/sbin")
    done = pod.run([*path, *MESH, "proxy", "init", "--ipv6=off"], check=True)
    assert "iptables (legacy)" in done.stderr
    assert "load the kernel modules" in fail(pod, *path, *MESH, "proxy", "init", "--ipv6=off", "--backend=nft")


def test_nothing_is_read_of_legacy_tables_that_do_not_exist(pod: Namespace) -> None:
    init(pod, "--backend=nft")
    init(pod, "--delete")
    assert pod.configure("cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null || true") == ""


def test_ipv6_can_be_left_alone(pod: Namespace, backend: str) -> None:
    init(pod, f"--backend={backend}", "--ipv6=off")
    rules = read_rules(pod, backend)
    assert has_ours(rules)
    assert not has_ours({"ip6tables": rules["ip6tables"]})


def test_a_pod_without_ipv6_gets_no_rules_for_it(pod: Namespace, backend: str) -> None:
    pod.configure("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
    init(pod, f"--backend={backend}")
    assert not has_ours({"ip6tables": read_rules(pod, backend)["ip6tables"]})


@pytest.mark.parametrize("is_reachable", [False, True])
def test_ipv6_that_cannot_be_intercepted_stops_a_pod_that_has_it(
    pod: Namespace, is_reachable: bool, tmp_path: Path
) -> None:
    for backend in ("nft", "legacy"):
        for verb in ("save", "restore"):
            program = tmp_path / f"ip6tables-{backend}-{verb}"
            program.write_text(BROKEN.format(said="ip6tables: Table does not exist (do you need to insmod?)"))
            program.chmod(0o755)
    if is_reachable:
        pod.configure("ip addr add fd77::9/128 dev lo")
    command = ("env", f"PATH={tmp_path}:/usr/bin:/bin", *MESH, "proxy", "init")
    if is_reachable:
        assert "load the kernel modules" in fail(pod, *command)
    else:
        said = pod.run(command, check=True).stderr
        assert "IPv6 is left alone" in said
        assert said.count("\n") == 2


def test_without_the_right_to_change_the_network_it_says_so(pod: Namespace, backend: str) -> None:
    said = fail(pod, "setpriv", "--bounding-set=-net_admin", *MESH, "proxy", "init", f"--backend={backend}")
    assert "needs the capability NET_ADMIN" in said


def test_legacy_tables_need_one_right_more(pod: Namespace) -> None:
    require_backend("legacy")
    said = fail(pod, "setpriv", "--bounding-set=-net_raw", *MESH, "proxy", "init", "--backend=legacy")
    assert "needs the capability NET_RAW" in said


def test_a_namespace_of_someone_else_cannot_be_changed(pod: Namespace) -> None:
    said = fail(pod, "unshare", "--user", "--map-root-user", *MESH, "proxy", "init", "--backend=nft")
    assert "this network namespace may not be changed from here" in said


def test_without_iptables_it_says_what_to_install(pod: Namespace) -> None:
    hide = 'for folder in /usr/local/sbin /usr/sbin /sbin; do mount -t tmpfs none $folder; done; PATH= exec "$@"'
    said = fail(pod, "unshare", "--mount", "sh", "-euc", hide, "sh", *MESH, "proxy", "init")
    assert "install iptables" in said
