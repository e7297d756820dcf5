"""What the Dockerfile promises, as far as its text says it; the image is tested on a node (tests/e2e/install)."""

from __future__ import annotations

import re

import pytest

from tests.cluster.mesh_image import ROOT, base_name, context_files

TEXT = (ROOT / "Dockerfile").read_text()
COPIED = [name for line in re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE) for name in line.split()[:-1]]


def test_its_base_has_a_public_name_without_any_host_and_is_pinned_by_digest() -> None:
    assert re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE) == ["${BASE}", "${BASE}"]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base_name())


def test_what_is_installed_of_debian_has_its_version() -> None:
    installed = " ".join(re.findall(r"apt-get install (.+) \\$", TEXT, re.MULTILINE)).split()
    names = [word for word in installed if not word.startswith("--")]
    assert [name for name in names if "=" not in name] == ["libc6-dev"]


@pytest.mark.parametrize("name", COPIED)
def test_what_is_copied_is_in_the_context(name: str) -> None:
    assert [path for path in context_files() if path.relative_to(ROOT).is_relative_to(name)]


def test_what_is_in_the_context_is_used() -> None:
    used = [*COPIED, "Dockerfile", "requirements"]
    found = [path.relative_to(ROOT) for path in context_files()]
    assert not [path for path in found if not any(path.is_relative_to(name) for name in used)]


def test_what_is_installed_from_outside_is_pinned_by_hash() -> None:
    installs = [line for line in TEXT.splitlines() if "pip install" in line or "bin/python3 install" in line]
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


def test_it_runs_as_the_user_that_manifests_name() -> None:
    assert re.findall(r"^USER (.+)$", TEXT, re.MULTILINE) == ["2102:2102"]
