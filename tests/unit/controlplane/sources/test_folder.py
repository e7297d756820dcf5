"""A directory through all that happens to files: written, half-written, renamed, switched, broken, gone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from controlplane.model.objects import PODS, SERVICES, SLICES, Service
from controlplane.model.snapshot import Change, Snapshot
from controlplane.sources.directory import Bounds, TooMuch
from controlplane.sources.folder import MAX_PROBLEMS, Folder

BOUNDS = Bounds(files=20, file_bytes=4_000, total_bytes=20_000)
SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: voting-1
  labels: {kubernetes.io/service-name: voting}
addressType: IPv4
ports: [{port: 8001}]
endpoints:
- addresses: [127.0.0.1]
"""


def service(*names: str, port: object = 80) -> str:
    return "---\n".join(
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n"
        for name in names
    )


class Directory:
    """A directory, its Folder, and the snapshot that the changes lead to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.folder = Folder(str(path), BOUNDS, lambda: self.now)
        self.snapshot = Snapshot()

    def load(self) -> None:
        self.folder.load()
        self.snapshot, _ = self.snapshot.after(self.folder.relists())

    def write(self, file: str, text: str) -> None:
        (self.path / file).write_text(text)

    def poll(self) -> list[Change]:
        changes = self.folder.poll()
        self.snapshot, _ = self.snapshot.after(changes)
        return changes

    def settle(self) -> list[Change]:
        return [change for _ in range(3) for change in self.poll()]

    def services(self) -> list[str]:
        return sorted(name for _, name in self.snapshot.services)

    def port(self, name: str) -> int:
        return self.snapshot.services["default", name].ports[0].port


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    path = tmp_path / "mesh"
    path.mkdir()
    return Directory(path)


def load(directory: Directory, files: Iterable[tuple[str, str]]) -> Directory:
    for file, text in files:
        directory.write(file, text)
    directory.load()
    return directory


def test_everything_is_read_at_the_start(directory: Directory) -> None:
    listed = '{"kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}]}'
    load(
        directory,
        [
            ("a.yaml", service("voting", "front")),
            ("b.yml", SLICE),
            ("c.json", listed),
            ("d.txt", "{"),
            (".e.yaml", "{"),
            ("f.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: voting}\n"),
        ],
    )
    assert directory.services() == ["front", "voting"]
    assert directory.snapshot.services["default", "voting"].kind == "ClusterIP"
    assert directory.snapshot.endpointslices["default", "voting-1"].endpoints[0].address == "127.0.0.1"
    assert list(directory.snapshot.pods) == [("default", "p")]
    assert directory.folder.problems() == []
    assert [relist.kind for relist in directory.folder.relists()] == [SERVICES, SLICES, PODS]


def test_what_differs_is_a_change_and_nothing_else(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a", "b"))])
    assert directory.settle() == []
    directory.write("a.yaml", service("a", "b").replace("80", "81", 1) + "---\n" + service("c"))
    changes = directory.settle()
    assert sorted(change.key[1] for change in changes) == ["a", "c"]
    assert directory.port("a") == 81
    directory.write("a.yaml", service("c"))
    assert sorted((change.key[1], change.now) for change in directory.settle()) == [("a", None), ("b", None)]
    counts = directory.folder.counts
    assert [counts["events", SERVICES, type_] for type_ in ("ADDED", "MODIFIED", "DELETED")] == [3, 1, 2]


def test_a_rewritten_file_of_the_same_size_is_seen(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a", port=80))])
    directory.write("a.yaml", service("a", port=81))  # perhaps within one tick of the file system's clock
    directory.settle()
    assert directory.port("a") == 81


def test_a_file_is_left_alone_until_it_rests(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a", "b", "c"))])
    directory.settle()
    whole = service("a", "b", "c", port=81)
    with (directory.path / "a.yaml").open("w") as file:
        for part in (whole[:60], whole[60:150], whole[150:]):
            file.write(part)
            file.flush()
            assert directory.poll() == []
    directory.settle()
    assert directory.services() == ["a", "b", "c"]
    assert directory.port("c") == 81


def rewrite(directory: Directory, *texts: str) -> None:
    """Each text stands for one poll only."""
    for text in texts:
        directory.write("a.yaml", text)
        directory.now += 0.2
        directory.poll()


def test_a_file_that_never_rests_is_taken_as_it_is(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a"))])
    directory.settle()
    rewrite(directory, *[service("a", port=1000 + number) for number in range(5)])
    assert directory.port("a") == 80
    assert directory.folder.read_at == 0.2, "as of the first change that was not taken"
    rewrite(directory, *[service("a", port=1005 + number) for number in range(12)])
    assert directory.port("a") > 1005
    assert directory.folder.read_at > directory.now - 1.2
    directory.settle()
    assert directory.port("a") == 1016
    assert directory.folder.read_at == directory.now


def test_one_that_never_rests_and_makes_no_sense_keeps_its_objects(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a")), ("b.yaml", service("b"))])
    directory.settle()
    rewrite(directory, *[f"a: [{number}" for number in range(100, 120)])
    assert directory.services() == ["a", "b"]
    assert directory.folder.problems() == []
    assert directory.folder.read_at == 0.2
    rewrite(directory, service("a", port="eighty") + "---\n" + service("c"))
    assert directory.services() == ["a", "b", "c"], "an object that is wrong is another matter"
    rewrite(directory, "a: [1")
    directory.settle()
    assert "a.yaml:2:" in directory.folder.problems()[0]
    assert directory.folder.read_at == directory.now, "it rests: what is wrong with it is said, and it is no news"


def test_one_that_comes_and_goes_is_not_gone(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a"))])
    directory.settle()
    for number in range(20):
        directory.now += 0.2
        if number % 2:
            directory.write("a.yaml", service("a", port=1000 + number))
        else:
            (directory.path / "a.yaml").unlink()
        directory.poll()
        assert directory.services() == ["a"]
    assert directory.port("a") > 1000


def test_a_new_one_that_never_rests_is_taken_too(directory: Directory) -> None:
    load(directory, [])
    rewrite(directory, *["a: [", *[service("a", port=1000 + number) for number in range(8)]])
    assert directory.services() == ["a"]


def test_names_of_files_do_not_reach_the_terminal_as_they_are(directory: Directory) -> None:
    load(
        directory,
        [("a\n\x1b[31m.yaml", "a: ["), ("b.yaml", 'apiVersion: discovery.k8s.io/"\\e[2J"\nkind: EndpointSlice\n')],
    )
    problems = directory.folder.problems()
    assert problems[0].startswith("a\\n\\x1b[31m.yaml:2:")
    assert all(problem.isprintable() for problem in problems)


def test_a_file_that_moves_never_takes_its_objects_away(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a"))])
    os.rename(directory.path / "a.yaml", directory.path / ".away")
    assert directory.poll() == []
    os.rename(directory.path / ".away", directory.path / "a.yaml")
    assert directory.settle() == []
    os.rename(directory.path / "a.yaml", directory.path / "b.yaml")
    assert directory.settle() == []
    assert directory.services() == ["a"]


def test_a_vanished_files_objects_go(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a")), ("b.yaml", service("b"))])
    (directory.path / "a.yaml").unlink()
    directory.settle()
    assert directory.services() == ["b"]
    (directory.path / "b.yaml").unlink()
    directory.settle()
    assert directory.services() == []
    (problem,) = directory.folder.problems()
    assert "no objects" in problem


def test_a_file_that_does_not_parse_keeps_its_objects_and_names_the_place(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a"))])
    directory.write("a.yaml", service("a", port=81)[:-3] + "\nx: [")
    assert directory.settle() == []
    assert directory.services() == ["a"]
    (problem,) = directory.folder.problems()
    assert problem.startswith("a.yaml:5:")
    assert "last good objects stay" in problem
    directory.write("a.yaml", service("a", port=82))
    directory.settle()
    assert directory.port("a") == 82
    assert directory.folder.problems() == []


def test_one_bad_object_keeps_its_last_good_version_and_spares_the_rest(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a", "b"))])
    directory.write("a.yaml", service("a", port=99_999) + "---\n" + service("b", port=81))
    directory.settle()
    assert (directory.port("a"), directory.port("b")) == (80, 81)
    (problem,) = directory.folder.problems()
    assert problem.startswith("a.yaml:1: services default/a: spec.ports[].port must be")
    directory.write("a.yaml", service("b", port=81))
    directory.settle()
    assert directory.services() == ["b"]


def test_a_bad_object_that_was_never_good_is_left_out(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a", port="eighty") + "---\n" + service("b"))])
    assert directory.services() == ["b"]
    (problem,) = directory.folder.problems()
    assert "left out" in problem


def test_of_an_object_in_two_files_the_first_counts(directory: Directory) -> None:
    load(directory, [("b.yaml", service("a", port=2)), ("a.yaml", service("a", port=1))])
    assert directory.port("a") == 1
    (problem,) = directory.folder.problems()
    assert problem == "b.yaml:1: services default/a stands in a.yaml already, which counts"
    (directory.path / "a.yaml").unlink()
    directory.settle()
    assert directory.port("a") == 2
    assert directory.folder.problems() == []


def test_of_an_object_twice_in_a_file_the_first_counts(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a", port=1) + "---\n" + service("a", port=2))])
    assert directory.port("a") == 1
    (problem,) = directory.folder.problems()
    assert problem.startswith("a.yaml:6: services default/a stands in this file already")


def test_a_configmap_volume_switches_all_its_files_at_once(directory: Directory) -> None:
    for version, port in (("..v1", 1), ("..v2", 2)):
        (directory.path / version).mkdir()
        for name in ("a", "b"):
            (directory.path / version / f"{name}.yaml").write_text(service(name, port=port))
    (directory.path / "..data").symlink_to("..v1")
    for name in ("a", "b"):
        (directory.path / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")
    directory.load()
    assert (directory.port("a"), directory.port("b")) == (1, 1)
    (directory.path / "..tmp").symlink_to("..v2")
    os.rename(directory.path / "..tmp", directory.path / "..data")
    assert len(directory.settle()) == 2
    assert (directory.port("a"), directory.port("b")) == (2, 2)


def test_a_link_that_leads_nowhere_keeps_the_objects(directory: Directory) -> None:
    (directory.path / "target").write_text(service("a"))
    (directory.path / "a.yaml").symlink_to("target")
    directory.load()
    (directory.path / "target").unlink()
    directory.settle()
    assert directory.services() == ["a"]
    (problem,) = directory.folder.problems()
    assert problem.startswith("a.yaml: no such file")
    (directory.path / "target").write_text(service("b"))
    directory.settle()
    assert directory.services() == ["b"]
    assert directory.folder.problems() == []


def test_what_is_no_file_is_not_opened(directory: Directory) -> None:
    os.mkfifo(directory.path / "pipe.yaml")
    (directory.path / "folder.yaml").mkdir()
    load(directory, [("a.yaml", service("a"))])
    directory.settle()
    assert directory.services() == ["a"]
    assert directory.folder.problems() == []


def test_a_directory_that_goes_away_leaves_everything_as_it_was(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a"))])
    os.rename(directory.path, directory.path.with_name("away"))
    before = directory.folder.read_at
    assert directory.settle() == []
    assert directory.services() == ["a"]
    (problem,) = directory.folder.problems()
    assert "no such file or directory" in problem
    assert directory.folder.read_at == before
    os.rename(directory.path.with_name("away"), directory.path)
    assert directory.settle() == []
    assert directory.folder.problems() == []


def test_a_directory_that_is_missing_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Folder(str(tmp_path / "none"), BOUNDS).load()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Folder(str(tmp_path / "file"), BOUNDS).load()


def test_sizes_are_bounded(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a"))])
    directory.write("a.yaml", service("a", port=81) + "#" * BOUNDS.file_bytes)
    directory.settle()
    assert directory.port("a") == 80
    assert "a.yaml: larger than" in directory.folder.problems()[0]
    for number in range(BOUNDS.files):
        directory.write(f"b{number}.yaml", service(f"b{number}"))
    directory.settle()
    assert directory.services() == ["a"]
    assert f"more than {BOUNDS.files} files" in directory.folder.problems()[0]
    with pytest.raises(TooMuch):
        Folder(str(directory.path), BOUNDS).load()
    for number in range(10, BOUNDS.files):
        (directory.path / f"b{number}.yaml").unlink()
    for number in range(6):
        directory.write(f"b{number}.yaml", service(f"b{number}") + "#" * 3_800)
    directory.settle()
    assert directory.services() == ["a"]
    assert "MiB" in directory.folder.problems()[0]


def test_problems_are_bounded(directory: Directory) -> None:
    text = "---\n".join(["kind: Service\n"] * (2 * MAX_PROBLEMS))
    load(directory, [("a.yaml", text)])
    problems = directory.folder.problems()
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[0] == "a.yaml:1: an object needs apiVersion and kind"


def test_old_slices_and_text_that_is_none_are_named(directory: Directory) -> None:
    (directory.path / "b.yaml").write_bytes(b"a: \xff\n")
    load(directory, [("a.yaml", SLICE.replace("/v1", "/v1beta1"))])
    assert [problem.partition(":")[0] for problem in directory.folder.problems()] == ["a.yaml", "b.yaml"]
    assert "discovery.k8s.io/v1" in directory.folder.problems()[0]
    assert "UTF-8" in directory.folder.problems()[1]


def test_a_service_is_read_with_its_namespace_or_the_default_one(directory: Directory) -> None:
    load(directory, [("a.yaml", service("a").replace("{name: a}", "{name: a, namespace: shop}"))])
    (found,) = directory.snapshot.services.values()
    assert isinstance(found, Service)
    assert found.key == ("shop", "a")
