"""The chart: made from the builder, and by the real helm equal to it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from mesh.install.builder import build, rank
from mesh.install.chart import make_chart, write_chart
from mesh.install.keys import HIGH_AVAILABILITY
from mesh.install.values import ValuesError, complete, read_setting
from tests.unit.mesh.install.helm import CHART, run_helm, template

FLAGS = ("createNamespace", "singleNamespace", "injector.enabled", "podDisruptionBudget")
SIZES: list[dict[str, Any]] = [{}, {"controlPlane.replicas": 2, "injector.replicas": 2, "antiAffinity": "required"}]
SPECIAL: dict[str, dict[str, Any]] = {
    "placement": {
        "nodeSelector": {"disk": "ssd", "kubernetes.io/os": None},
        "tolerations": [{"key": "spot", "operator": "Exists", "tolerationSeconds": 60}],
        "priorityClassName": "system-cluster-critical",
        "podAnnotations": {
            "example.org/text": 'quotes " and <tags> & \u2028 ${x} {{ .y }}: #',
            "b": "true",
            "c": "1e3",
            "y": "y",
        },
        "image.pullSecrets": [{"name": "pull"}],
    },
    "image": {"image.name": "registry.local:5000/mesh/mesh", "image.tag": "1.10", "image.pullPolicy": "Always"},
    "digest": {"image.name": "mine/mesh", "image.tag": "1.10", "image.digest": f"sha256:{'0a' * 32}"},
    "bare": {
        f"{part}.resources.{side}.{resource}": ""
        for part in ("controlPlane", "injector")
        for side in ("requests", "limits")
        for resource in ("cpu", "memory")
    },
    "locked": {"locked": ["proxy-image", "proxy-uid"], "proxy": {"proxy-uid": "7"}},
    "unguarded": {"injector.admissionPolicy": False},
    "network": {
        "networkPolicy.enabled": True,
        "networkPolicy.webhook": [{"ipBlock": {"cidr": "10.0.0.0/28"}}],
    },
    "network of one": {
        "networkPolicy.enabled": True,
        "networkPolicy.admin": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}],
        "singleNamespace": True,
    },
    "half": {"controlPlane.resources.requests.cpu": "", "controlPlane.resources.limits.cpu": "1.5"},
    "injector": {
        "injector.timeoutSeconds": 30,
        "injector.failurePolicy": "Fail",
        "clusterDomain": "example.internal",
        "proxy": {"proxy-cpu-request": "1", "skip-subnets": "10.0.0.0/8", "opaque-ports": "25,8000-8100"},
    },
}


def expect_equal(namespace: str, values: dict[str, Any], *options: str | Path, ours: dict[str, Any]) -> None:
    by_helm = sorted(template(namespace, values, *options), key=rank)
    assert by_helm == build(complete(ours), namespace)


def test_the_chart_is_the_one_that_the_builder_makes() -> None:
    present = {str(path.relative_to(CHART)): path.read_text() for path in CHART.rglob("*") if path.is_file()}
    assert present == make_chart(), "run `make chart`"


def test_writing_the_chart_removes_what_is_not_of_it(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "old.yaml").write_text("kind: Old\n")
    write_chart(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(make_chart())


@pytest.mark.parametrize("values", ["values.yaml", "values-ha.yaml"])
def test_lint_finds_nothing(values: str) -> None:
    done = run_helm("lint", "--strict", CHART, "--values", CHART / values)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def test_helm_makes_the_same_by_default() -> None:
    expect_equal("gossamer", {}, ours={})


def test_values_ha_is_what_ha_sets() -> None:
    expect_equal("gossamer", {}, "--values", CHART / "values-ha.yaml", ours=dict(HIGH_AVAILABILITY))


@pytest.mark.parametrize("flags", [*itertools.product([False, True], repeat=len(FLAGS))])
def test_helm_makes_the_same_of_all_flags(flags: tuple[bool, ...]) -> None:
    values = dict(zip(FLAGS, flags, strict=True))
    if values["createNamespace"] and values["singleNamespace"]:
        return  # refused by both: below
    for size in SIZES:
        expect_equal("shop", {**values, **size}, ours={**values, **size})


@pytest.mark.parametrize("case", SPECIAL)
def test_helm_makes_the_same_of_special_values(case: str) -> None:
    expect_equal("mesh-2", SPECIAL[case], ours=SPECIAL[case])


@pytest.mark.parametrize(
    "setting",
    [
        "controlPlane.replicas=many",
        "controlPlane.replicas=0",
        "controlPlane.replica=1",
        "image.pullPolicy=never",
        "image.tag=a b",
        "image.digest=sha256:0a",
        "image.name=mesh:1",
        "image.name=example.test/mesh:1",
        "controlPlane.resources.limits.cpu=lots",
        "clusterDomain=-",
        "nodeSelector=a",
        "nope=1",
    ],
)
def test_what_we_refuse_is_refused_by_helm(setting: str) -> None:
    with pytest.raises(ValuesError):
        read_setting(setting)
    done = run_helm("template", "gossamer", CHART, "--set", setting)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


@pytest.mark.parametrize(
    "setting", ["proxy.proxy-cpu-request=abc", "proxy.bogus=abc", "proxy.native-sidecar=maybe", "locked={image}"]
)
def test_options_of_the_sidecar_that_would_be_left_out_are_refused_by_both(setting: str) -> None:
    with pytest.raises(ValuesError):
        complete(read_setting(setting))
    done = run_helm("template", "gossamer", CHART, "--set", setting)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


def test_an_option_that_says_nothing_is_allowed_by_both() -> None:
    nothing = {"proxy": {"proxy-cpu-request": "", "native-sidecar": ""}}
    expect_equal("gossamer", nothing, ours=nothing)


def test_both_refuse_a_namespace_that_is_made_and_alone() -> None:
    both = {"createNamespace": True, "singleNamespace": True}
    with pytest.raises(ValuesError):
        complete(both)
    done = run_helm("template", "gossamer", CHART, values=both)
    assert done.returncode != 0
    assert "leave one of them out" in done.stderr
