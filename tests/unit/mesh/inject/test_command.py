from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mesh.commands import run

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: web
    image: a
"""


def write(folder: Path, name: str, text: str = POD) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("a: [1\n", "is not YAML: line 2: did not find expected ',' or ']'"),
        ("a: b: c", "is not YAML: line 1: mapping values are not allowed in this context"),
        ("a: 1\n---\nb: !thing 2\n", "is not YAML: line 3: could not determine a constructor for the tag '!thing'"),
        ("{{ .Values.a }}\n{{- end }}", "; a Helm chart has to be rendered first (helm template)"),
        ("\x00", "is not YAML: "),
        ("hello world\n", "is no manifest: the document from line 1 on is only 'hello world', and no object."),
        ("a: 1\n---\n- a\n", "is no manifest: the document from line 2 on is a list, and no object."),
        ("[1, 2]", "is no manifest: the document from line 1 on is a list, and no object."),
        ("[a, b]", "is no manifest: the document from line 1 on is a list, and no object."),
        ("[" * 100_000 + "]" * 100_000, "is no manifest: it is nested too deep"),
        ("a: " + "{a: " * 100_000, "is no manifest: it is nested too deep"),
    ],
)
@pytest.mark.parametrize("command", ["inject", "uninject"])
def test_bad_input_is_one_sentence(
    command: str, text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "bad.yaml", text)
    assert run([command, path]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"mesh {command}: {path} ")
    assert sentence in err
    assert err.count("\n") == 1


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    write(tmp_path, "notes.txt")
    write(tmp_path, ".hidden/pod.yaml")
    (tmp_path / "latin.yaml.gz").write_bytes(b"")
    for source, sentence in (
        (str(tmp_path / "nowhere.yaml"), "cannot be read: no such file or directory."),
        (str(tmp_path), "has no manifests: no file in it ends with .yaml, .yml, .json."),
        ("http://127.0.0.1:1/pod.yaml", "cannot be fetched: connection refused."),
        ("http://[", "cannot be fetched: invalid IPv6 URL."),
    ):
        assert run(["inject", source]) == 1
        assert capsys.readouterr() == ("", f"mesh inject: {source} {sentence}\n")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    assert run(["inject", str(tmp_path)]) == 1
    assert "latin.yaml is not UTF-8 text (byte 3)." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["inject"], "Missing argument 'FILE...'. See `mesh inject --help`."),
        (["uninject", "--manual", "-"], "No such option: --manual"),
        (
            ["inject", "-", "--set", "proxy-uid=1"],
            "--set, --control-plane, --namespace, --from-cluster and --kubeconfig need",
        ),
        (["inject", "-", "--manual", "--set", "proxy-uid"], "--set proxy-uid: write NAME=VALUE."),
        (["inject", "-", "--manual", "--set", "proxy-uid=0"], "--set proxy-uid: '0' is not a user id from 1."),
        (["inject", "-", "--manual", "--set", "uid=1"], "--set 'uid' is unknown; there are interception, "),
        (["inject", "-", "--manual", "--control-plane", "here"], "the control plane 'here' is not HOST:PORT."),
        (["inject", "-", "--manual", "--namespace", "a b"], "the control plane 'gossamer-controlplane.a b.svc."),
        (["inject", "-", "--from-cluster"], "need --manual"),
        (["inject", "-", "--manual", "--kubeconfig", "here"], "--kubeconfig is for --from-cluster; give both."),
    ],
)
def test_wrong_usage(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1


def test_an_object_that_is_refused_holds_everything_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = POD.replace("name: web\nspec", "name: web\n  annotations: {config.gossamer.mesh/proxy-uid: root}\nspec")
    assert run(["inject", write(tmp_path, "a.yaml"), write(tmp_path, "b.yaml", bad)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "labelled  pod/web",
        "refused   pod/web: annotation config.gossamer.mesh/proxy-uid: 'root' is not a user id from 1",
        "mesh inject: nothing is written, since some objects are refused: mend them.",
    ]


@pytest.mark.parametrize("options", [[], ["--manual"]], ids=str)
def test_a_nodes_network_and_our_containers_are_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{POD}  hostNetwork: true\n  initContainers: [{{name: gossamer-init}}, {{name: gossamer-proxy}}]\n"
    assert run(["inject", *options, write(tmp_path, "pod.yaml", text)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "refused   pod/web: hostNetwork together with our containers would lead the node's own connections" in err


@pytest.mark.parametrize("options", [[], ["--manual"]], ids=str)
def test_volumes_that_are_called_as_ours_are_not_replaced(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{POD}  volumes: [{{name: gossamer-run, emptyDir: {{}}}}]\n"
    assert run(["inject", *options, write(tmp_path, "pod.yaml", text)]) == 0
    out, err = capsys.readouterr()
    assert out == text
    assert "skipped   pod/web: it has a volume gossamer-run of its own" in err


@pytest.mark.parametrize("command", ["inject", "inject --manual", "uninject"])
def test_what_a_manifest_says_moves_no_cursor(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = "\x1b[2J\nrefused   pod/other\u202e"
    pod = yaml.safe_load(POD)
    pod["metadata"] = {"name": odd, "namespace": odd, "annotations": {f"config.gossamer.mesh/{odd}": "x"}}
    pod["spec"]["containers"][0] |= {"name": odd, "livenessProbe": {"tcpSocket": {"port": odd}}}
    assert run([*command.split(), write(tmp_path, "a.yaml", json.dumps(pod))]) == 0
    err = capsys.readouterr().err
    assert "\\x1b[2J\\nrefused   pod/other\\u202e" in err
    assert all(line.isprintable() and not line.startswith("refused") for line in err.splitlines())


def test_files_directories_and_stdin_become_one_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "all/z.yml", POD.replace("web", "z"))
    write(tmp_path, "all/deep/y.json", json.dumps(yaml.safe_load(POD.replace("web", "y"))))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(POD.encode())))
    assert run(["inject", str(tmp_path / "all"), "-", write(tmp_path, "x.yaml", "---\n" + POD.rstrip())]) == 0
    out, err = capsys.readouterr()
    found = [item for item in yaml.safe_load_all(out) if item]
    assert [item["metadata"]["name"] for item in found] == ["y", "z", "web", "web"]
    assert all(item["metadata"]["labels"] == {"gossamer.mesh/inject": "enabled"} for item in found)
    assert "4 labelled" in err


def test_an_empty_file_in_a_directory_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "all/a.yaml", "")
    write(tmp_path, "all/b.yaml")
    write(tmp_path, "all/c.yaml", " \n")
    assert run(["inject", str(tmp_path / "all")]) == 0
    out, err = capsys.readouterr()
    assert [item["metadata"]["name"] for item in yaml.safe_load_all(out)] == ["web"]
    assert "1 labelled" in err
    (tmp_path / "all/b.yaml").unlink()
    assert run(["inject", str(tmp_path / "all")]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "mesh inject: no objects\n")


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/pod.yaml" else 404)
            self.end_headers()
            self.wfile.write(POD.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_from_a_url(site: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    assert run(["inject", f"{site}/pod.yaml"]) == 0
    assert "gossamer.mesh/inject: enabled" in capsys.readouterr().out
    assert run(["inject", f"{site}/other.yaml"]) == 1
    assert "cannot be fetched: the answer is 404 Not Found." in capsys.readouterr().err


def test_what_a_namespace_says_counts_for_its_pods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = """
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  annotations: {config.gossamer.mesh/proxy-uid: "1234", config.gossamer.mesh/proxy-gid: "1"}
---
"""
    text = namespace + POD.replace("name: web\nspec", "name: web\n  namespace: shop\nspec")
    assert run(["inject", "--manual", write(tmp_path, "a.yaml", text)]) == 0
    assert "runAsUser: 1234" in capsys.readouterr().out
    assert run(["inject", write(tmp_path, "a.yaml", text)]) == 0
    assert "proxy-gid is unknown and has no effect; did you mean" in capsys.readouterr().err
    assert run(["inject", write(tmp_path, "a.yaml", text.replace("1234", "root"))]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "refused   namespace/shop: annotation config.gossamer.mesh/proxy-uid of the namespace: 'root' is not" in err


@pytest.mark.parametrize("mode", [[], ["--manual"]], ids=["label", "manual"])
def test_what_a_controller_made_is_not_the_place(
    mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owned = POD.replace(
        "  name: web\n", "  name: web\n  ownerReferences: [{kind: Job, name: a, controller: true}]\n", 1
    )
    assert run(["inject", *mode, write(tmp_path, "pod.yaml", owned)]) == 0
    out, err = capsys.readouterr()
    assert out == owned
    assert err.startswith("skipped   pod/web: job/a made it, and is the one to inject\n")


def test_options_for_all_pods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", "native-sidecar=false", "--set", "interception=none", "--control-plane", "10.0.0.1:4150"]
    path = write(tmp_path, "pod.yaml")
    assert run(["inject", "--manual", *options, path]) == 0
    spec = yaml.safe_load(capsys.readouterr().out)["spec"]
    assert "initContainers" not in spec
    assert [item["name"] for item in spec["containers"]] == ["gossamer-proxy", "web"]
    assert "10.0.0.1:4150" in spec["containers"][0]["command"]


def test_the_control_plane_is_where_gossamer_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "pod.yaml")
    assert run(["inject", "--manual", "--namespace", "shop", path]) == 0
    assert "gossamer-controlplane.shop.svc.cluster.local:4150" in capsys.readouterr().out
    assert run(["inject", "--manual", "-n", "shop", "--control-plane", "10.0.0.1:4150", path]) == 0
    assert "gossamer-controlplane" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "apiVersion: v1\nkind: Config\nclusters: 1\n"], ids=["none", "broken"])
def test_a_cluster_that_cannot_be_asked(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", write(tmp_path, "kubeconfig", text) if text else "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert run(["inject", "--manual", "--from-cluster", write(tmp_path, "pod.yaml")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "kubeconfig" in err
    assert err.count("\n") == 1


def test_a_sidecar_of_other_settings_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inject", "--manual", "--set", "native-sidecar=false", write(tmp_path, "pod.yaml")]) == 0
    old = write(tmp_path, "old.yaml", capsys.readouterr().out)
    assert run(["inject", "--manual", old]) == 0
    new, err = capsys.readouterr()
    assert err.startswith("injected  pod/web")
    assert run(["inject", "--manual", write(tmp_path, "pod.yaml")]) == 0
    assert yaml.safe_load(new) == yaml.safe_load(capsys.readouterr().out)
    assert run(["inject", "--manual", write(tmp_path, "new.yaml", new)]) == 0
    out, err = capsys.readouterr()
    assert out == new
    assert err.startswith("skipped   pod/web: it has this very sidecar already")


@pytest.mark.parametrize("text", ["a: 1\n", "---\n# nothing\n", "--- \n...\n", "kind: List\nitems: [1, null]\n"])
def test_what_is_no_object_passes_through(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inject", write(tmp_path, "odd.yaml", text)]) == 0
    assert capsys.readouterr().out == text


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {gossamer.mesh/inject: disabled}
  annotations: {config.gossamer.mesh/opaque-ports: "25"}
spec:
  template:
    metadata:
      annotations: {linkerd.io/inject: enabled}
    spec:
      containers:
      - {name: web, image: a}
"""


def test_what_has_no_effect_on_a_workload_and_other_meshes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inject", write(tmp_path, "web.yaml", DEPLOYMENT)]) == 0
    err = capsys.readouterr().err
    for name in ("gossamer.mesh/inject", "config.gossamer.mesh/opaque-ports"):
        assert f"{name} is on the Deployment, where it has no effect; put it into spec.template.metadata\n" in err
    assert "linkerd.io/inject: enabled asks for the sidecar of another mesh" in err


@pytest.mark.parametrize("options", [[], ["--manual"]])
def test_a_kind_that_nobody_knows(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rollout = DEPLOYMENT.replace("apps/v1", "argoproj.io/v1alpha1").replace("kind: Deployment", "kind: Rollout")
    assert run(["inject", *options, write(tmp_path, "web.yaml", rollout)]) == 0
    out, err = capsys.readouterr()
    assert out == rollout
    assert err.startswith(
        "unknown   rollout/web: it has spec.template.spec.containers, but is of no kind that we know; "
    )
    assert err.endswith("mesh inject: 1 unknown\n")


@pytest.mark.parametrize("has_namespace", [True, False])
def test_a_namespace_that_keeps_its_label(
    has_namespace: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = POD + "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n" * has_namespace
    assert run(["inject", write(tmp_path, "pod.yaml", text)]) == 0
    asked = write(tmp_path, "asked.yaml", capsys.readouterr().out)
    assert run(["uninject", asked]) == 0
    out, err = capsys.readouterr()
    assert out == text
    assert ("kubectl label namespace NAME gossamer.mesh/inject-" in err) is not has_namespace
