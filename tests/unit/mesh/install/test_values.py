"""Values: where they come from, how they are merged, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from mesh.install.keys import BY_NAME, DEFAULTS, HIGH_AVAILABILITY, KEYS
from mesh.install.values import ValuesError, changes_of, check, complete, describe, read_file, read_setting


def test_every_default_is_one_of_the_values_that_are_allowed() -> None:
    for key in KEYS:
        assert check(key.name, key.default, "default") == key.default


def test_what_ha_sets_is_allowed_and_is_a_change() -> None:
    for name, given in HIGH_AVAILABILITY.items():
        assert check(name, given, "--ha") != DEFAULTS[name]


def test_no_key_is_a_group_of_others() -> None:
    assert not [name for name in BY_NAME if any(other.startswith(f"{name}.") for other in BY_NAME)]


def test_a_file_is_nested_as_the_chart_is() -> None:
    text = "controlPlane: {replicas: 2, resources: {limits: {cpu: 500m}}}\nnodeSelector: {disk: ssd}\n"
    assert read_file(text, "f") == {
        "controlPlane.replicas": 2,
        "controlPlane.resources.limits.cpu": "500m",
        "nodeSelector": {"disk": "ssd"},
    }
    assert read_file("", "f") == {}
    assert read_file("# nothing\n", "f") == {}


def test_maps_are_merged_and_null_removes() -> None:
    values = complete({"nodeSelector": {"disk": "ssd", "kubernetes.io/os": None}}, {"nodeSelector": {"zone": "a"}})
    assert values["nodeSelector"] == {"disk": "ssd", "zone": "a"}
    assert changes_of(values) == {"nodeSelector": {"disk": "ssd", "zone": "a"}}


def test_an_empty_map_empties_one_and_what_is_stored_stands_for_the_default() -> None:
    assert complete({"podAnnotations": {"a": "b"}}, {"podAnnotations": {}})["podAnnotations"] == {}
    assert complete({}, {"nodeSelector": {}})["nodeSelector"] == {}
    assert complete({"nodeSelector": {"zone": "a"}}, stored={"nodeSelector": {}})["nodeSelector"] == {"zone": "a"}


def test_later_values_win() -> None:
    assert complete(HIGH_AVAILABILITY, {"controlPlane.replicas": 5})["controlPlane.replicas"] == 5


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("controlPlane.replicas=2", {"controlPlane.replicas": 2}),
        ("podDisruptionBudget=true", {"podDisruptionBudget": True}),
        ("image.tag=1.10", {"image.tag": "1.10"}),  # a text, whatever it looks like
        ("image.tag=", {"image.tag": ""}),
        ("image.name=localhost:5000/a/mesh", {"image.name": "localhost:5000/a/mesh"}),
        ("locked=[proxy-image]", {"locked": ["proxy-image"]}),
        ("image.name=a/b=c".replace("=c", ""), {"image.name": "a/b"}),
        (r"nodeSelector.kubernetes\.io/arch=arm64", {"nodeSelector": {"kubernetes.io/arch": "arm64"}}),
        ("nodeSelector.disk=null", {"nodeSelector": {"disk": None}}),
        ("nodeSelector={disk: ssd}", {"nodeSelector": {"disk": "ssd"}}),
        ("tolerations=[{key: spot, operator: Exists}]", {"tolerations": [{"key": "spot", "operator": "Exists"}]}),
        ("proxy.drain-delay=7s", {"proxy": {"drain-delay": "7s"}}),
    ],
)
def test_one_value_is_set(setting: str, found: object) -> None:
    assert read_setting(setting) == found


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("controlPlane.replicas=many", "controlPlane.replicas is 'many', and must be a whole number from 1 to 100"),
        ("controlPlane.replicas=true", "controlPlane.replicas is True, and must be a whole number from 1 to 100"),
        ("controlPlane.replicas=0", "controlPlane.replicas is 0, and must be a whole number from 1 to 100"),
        ("image.pullPolicy=never", "image.pullPolicy is 'never', and must be Always or IfNotPresent or Never"),
        ("image.tag=a b", "image.tag is 'a b', and must be a tag, or empty"),
        ("image.name=example.test/mesh:1", "must be an image's name without tag or digest, which are image.tag and"),
        ("image.name=mesh:1", "must be an image's name without tag or digest"),
        ("image.name=mesh@sha256:0a", "must be an image's name without tag or digest"),
        ("image.name=localhost:5000/", "must be an image's name without tag or digest"),
        ("image.digest=0a", "image.digest is '0a', and must be a digest such as sha256: and 64 hexadecimal digits"),
        ("controlPlane.resources.limits.cpu=lots", "must be a quantity such as 100m, 0.5, 128Mi or 1Gi, or empty"),
        ("createNamespace=1", "createNamespace is 1, and must be true or false"),
        ("nodeSelector=a", "nodeSelector is 'a', and must be a map of texts"),
        ("nodeSelector={a: 1}", "nodeSelector is {'a': 1}, and must be a map of texts"),
        ("tolerations=[a]", "tolerations is ['a'], and must be a list of maps"),
        ("controlPlane.replica=2", "there is no value controlPlane.replica; did you mean controlPlane.replicas?"),
        ("zzz=2", "there is no value zzz; there are image.name, "),
        ("controlPlane=2", "controlPlane is a group of values: controlPlane.replicas, "),
        ("controlPlane.replicas", "--set controlPlane.replicas is no KEY=VALUE"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(setting: str, said: str) -> None:
    with pytest.raises(ValuesError) as refused:
        read_setting(setting)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "f is no YAML in line 1; write values as in the chart's values.yaml"),
        ("- a", "f holds no map of values"),
        ("controlPlane: 3", "f: controlPlane is a group of values"),
        ("controlPlane: {replicas: x}", "f: controlPlane.replicas is 'x'"),
        ("1: 2", "f: there is no value 1"),
    ],
)
def test_a_wrong_file_is_explained(text: str, said: str) -> None:
    with pytest.raises(ValuesError) as refused:
        read_file(text, "f")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"singleNamespace": True, "createNamespace": True}, "leave one of them out"),
        ({"proxy": {"drain-dela": "5s"}}, "there is no value proxy.drain-dela; did you mean drain-delay?"),
        ({"locked": ["image"]}, "there is no value proxy.image; did you mean proxy-image?"),
        ({"proxy": {"drain-delay": "soon"}}, "proxy.drain-delay: 'soon' is not a time"),
    ],
)
def test_values_are_checked_together(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValuesError) as refused:
        complete(change)
    assert said in str(refused.value)


def test_what_is_allowed_is_said_of_every_key() -> None:
    assert all(describe(key) for key in KEYS)
