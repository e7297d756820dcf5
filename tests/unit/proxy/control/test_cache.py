from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from proxy.control.cache import MAX_RESOURCES, CacheError, is_sound, read_cache, write_cache
from proxy.control.messages import CLUSTER, LISTENER, Resource

RESOURCES = [Resource("a", "1", LISTENER, b"one"), Resource("b", "2", CLUSTER, b"x" * 100_000)]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "xds")


def test_what_was_written_is_read_in_its_order(path: str) -> None:
    write_cache(path, "ns", RESOURCES)
    assert read_cache(path, "ns") == RESOURCES
    write_cache(path, "ns", RESOURCES[::-1])
    assert read_cache(path, "ns") == RESOURCES[::-1]
    assert os.listdir(os.path.dirname(path)) == ["xds"]


def test_no_file_is_nothing(path: str) -> None:
    assert read_cache(path, "ns") == []


def test_only_the_owner_may_read(path: str) -> None:
    old = os.umask(0)
    try:
        write_cache(path, "ns", RESOURCES)
    finally:
        os.umask(old)
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_another_namespace(path: str) -> None:
    write_cache(path, "ns", RESOURCES)
    with pytest.raises(CacheError, match="another namespace"):
        read_cache(path, "other")


def test_another_version(path: str) -> None:
    write_cache(path, "ns", RESOURCES)
    file = Path(path)
    file.write_bytes(file.read_bytes().replace(b"cache 1\n", b"cache 2\n", 1))
    with pytest.raises(CacheError, match="another version"):
        read_cache(path, "ns")


@pytest.mark.parametrize("size", [0, 1, 20, 21, 40, 53, 60, 1_000])
def test_a_half_written_file(path: str, size: int) -> None:
    write_cache(path, "ns", RESOURCES)
    file = Path(path)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(CacheError, match=r"damaged|another version"):
        read_cache(path, "ns")


def test_a_changed_byte(path: str) -> None:
    write_cache(path, "ns", RESOURCES)
    file = Path(path)
    data = bytearray(file.read_bytes())
    for at in range(0, len(data), 997):
        data[at] ^= 1
        file.write_bytes(data)
        with pytest.raises(CacheError):
            read_cache(path, "ns")
        data[at] ^= 1


def test_a_directory_in_its_place(path: str) -> None:
    os.mkdir(path)
    with pytest.raises(CacheError, match="is a directory"):
        read_cache(path, "ns")
    with pytest.raises(OSError, match="directory"):
        write_cache(path, "ns", RESOURCES)
    assert os.listdir(os.path.dirname(path)) == ["xds"]


def test_a_link_that_somebody_left_is_not_followed(path: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.symlink(victim, f"{path}.{os.getpid()}.tmp")
    write_cache(path, "ns", RESOURCES)
    assert victim.read_text() == "precious"
    assert read_cache(path, "ns") == RESOURCES


def test_a_failure_keeps_the_old_file(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cache(path, "ns", RESOURCES)
    monkeypatch.setattr("proxy.control.cache.MAX_BYTES", 1_000)
    with pytest.raises(CacheError, match="above"):
        write_cache(path, "ns", RESOURCES)
    monkeypatch.undo()
    assert read_cache(path, "ns") == RESOURCES


def test_a_pipe_in_its_place_is_not_waited_for(path: str) -> None:
    os.mkfifo(path)
    with pytest.raises(CacheError, match="no file of this user"):
        read_cache(path, "ns")


def test_a_file_that_others_may_write(path: str) -> None:
    write_cache(path, "ns", RESOURCES)
    os.chmod(path, 0o620)
    with pytest.raises(CacheError, match="others cannot write"):
        read_cache(path, "ns")


def test_a_link_in_its_place(path: str) -> None:
    write_cache(path, "ns", RESOURCES)
    os.rename(path, path + ".real")
    os.symlink(path + ".real", path)
    with pytest.raises(CacheError):
        read_cache(path, "ns")


def test_more_than_a_sidecar_can_have_asked_for(path: str) -> None:
    write_cache(path, "ns", [Resource("a", "1", LISTENER, b"")] * (MAX_RESOURCES + 1))
    with pytest.raises(CacheError, match="more than"):
        read_cache(path, "ns")


def test_a_version_counts_only_as_the_hash_of_its_body() -> None:
    version = hashlib.sha256(b"body").hexdigest()[:16]
    assert is_sound(Resource("a", version, LISTENER, b"body"))
    assert not is_sound(Resource("a", version, LISTENER, b"other"))
    assert not is_sound(Resource("a", "", LISTENER, b"body"))
