from __future__ import annotations

from pathlib import Path

import pytest

from proxy.init.fault import KernelError, RulesError
from proxy.init.firewall import find_programs, run

SAYS = "#!/bin/sh\necho 'iptables-restore {version}'\n"


def place(folder: Path, name: str, version: str = "") -> None:
    for verb in ("save", "restore"):
        program = folder / f"{name}-{verb}"
        program.write_text(SAYS.format(version=version))
        program.chmod(0o755)


def test_programs_that_name_their_tables_come_first(tmp_path: Path) -> None:
    place(tmp_path, "iptables", "v1.8.9 (nf_tables)")
    place(tmp_path, "iptables-nft")
    found = find_programs(4, "nft", str(tmp_path))
    assert found is not None
    assert (found.restore, found.save) == (f"{tmp_path}/iptables-nft-restore", f"{tmp_path}/iptables-nft-save")


@pytest.mark.parametrize(
    ("version", "backend", "other"),
    [("v1.8.9 (nf_tables)", "nft", "legacy"), ("v1.8.9 (legacy)", "legacy", "nft"), ("v1.6.1", "legacy", "nft")],
)
def test_programs_that_do_not_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, backend: str, other: str
) -> None:
    monkeypatch.setattr("proxy.init.firewall._SYSTEM_FOLDERS", str(tmp_path))
    place(tmp_path, "ip6tables", version)
    found = find_programs(6, backend, "")
    assert found is not None
    assert (found.restore, found.name) == (f"{tmp_path}/ip6tables-restore", f"ip6tables ({backend})")
    assert find_programs(6, other, "") is None
    assert find_programs(4, backend, "") is None


def test_a_program_that_cannot_run_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "iptables-restore").write_text("no program")
    with pytest.raises(RulesError, match=r"cannot be run: .*; install iptables") as fault:
        run([str(tmp_path / "iptables-restore")], "")
    assert not isinstance(fault.value, KernelError)
