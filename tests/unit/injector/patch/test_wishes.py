from __future__ import annotations

from pathlib import Path

import pytest

from injector.patch.fields import Refusal
from injector.patch.wishes import OPTIONS, find_strange, read_wishes
from mesh.contract import INJECT, OUR_ANNOTATIONS
from mesh.version import VERSION

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "injection.md"


def annotate(**options: str) -> dict[str, str]:
    return {f"{OUR_ANNOTATIONS}{name.replace('_', '-')}": value for name, value in options.items()}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("skip_inbound_ports", " 25, 8000-8100 ,9,", "9,25,8000-8100"),
        ("skip_outbound_ports", "7-7", "7"),
        ("skip_subnets", "10.1.2.3/8, fd00::1", "10.0.0.0/8,fd00::1/128"),
        ("native_sidecar", "false", False),
        ("proxy_uid", "1000", 1000),
        ("drain_delay", "1.5m", "1.5m"),
        ("shutdown_grace", "0", "0s"),
        ("proxy_memory_limit", "1.5Gi", "1.5Gi"),
        ("proxy_cpu_limit", "2", "2"),
        ("proxy_image", "[::1]:5000/a/b@sha256:00", None),
        ("proxy_image", "gossamer.local:5000/mesh:1", "gossamer.local:5000/mesh:1"),
        ("skip_subnets", "", ""),
        ("interception", " ", "init"),
        ("native_sidecar", "", True),
        ("proxy_uid", "", 2102),
        ("proxy_cpu_request", "", ""),
    ],
)
def test_values_are_read(name: str, text: str, value: object) -> None:
    if value is None:
        with pytest.raises(Refusal):
            read_wishes(annotate(**{name: text}), {}, {})
        return
    assert getattr(read_wishes(annotate(**{name: text}), {}, {}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("skip_inbound_ports", "http"),
        ("skip_inbound_ports", "0"),
        ("skip_inbound_ports", "65536"),
        ("skip_inbound_ports", "9-8"),
        ("skip_inbound_ports", "1-2-3"),
        ("skip_inbound_ports", "-5"),
        ("opaque_ports", "٢٥"),
        ("skip_subnets", "10.0.0.0/33"),
        ("skip_subnets", "fe80::1%eth0"),
        ("native_sidecar", "yes"),
        ("interception", "cni"),
        ("proxy_uid", "0"),
        ("proxy_uid", "-1"),
        ("proxy_uid", "4294967295"),
        ("drain_delay", "5"),
        ("drain_delay", "2h"),
        ("drain_timeout", "1d"),
        ("proxy_cpu_request", "lots"),
        ("proxy_cpu_request", "0"),
        ("proxy_cpu_request", "-1"),
        ("proxy_memory_limit", "64MB"),
        ("proxy_image", "an image"),
        ("proxy_image_pull_policy", "always"),
        ("iptables_backend", "ipvs"),
    ],
)
def test_a_bad_value_is_refused_by_annotation_value_and_what_is_allowed(name: str, text: str) -> None:
    annotations = annotate(**{name: text})
    option = OPTIONS[name.replace("_", "-")]
    with pytest.raises(Refusal) as refusal:
        read_wishes(annotations, {}, {})
    assert str(refusal.value) == f"annotation {next(iter(annotations))}: {text!a} is not {option.allowed}"


def test_the_nearest_word_counts() -> None:
    pod, namespace = annotate(proxy_uid="1"), annotate(proxy_uid="2", drain_delay="3s")
    wishes = read_wishes(pod, namespace, {"proxy-uid": "4", "drain-delay": "5s", "skip-subnets": "10.0.0.0/8"})
    assert (wishes.proxy_uid, wishes.drain_delay, wishes.skip_subnets) == (1, "3s", "10.0.0.0/8")
    assert wishes.proxy_memory_request == "40Mi"


def test_an_empty_annotation_takes_a_wish_of_the_namespace_back() -> None:
    assert read_wishes(annotate(skip_inbound_ports=""), annotate(skip_inbound_ports="25"), {}).skip_inbound_ports == ""


def test_a_limit_below_our_own_request_means_the_request_too() -> None:
    wishes = read_wishes(annotate(proxy_memory_limit="16Mi", proxy_cpu_limit="0.001"), {}, {})
    assert (wishes.proxy_memory_request, wishes.proxy_cpu_request) == ("16Mi", "0.001")


def test_a_limit_below_the_users_request_is_refused() -> None:
    with pytest.raises(Refusal, match=r"proxy-memory-request: 1Gi is above the limit 512Mi"):
        read_wishes(annotate(proxy_memory_request="1Gi", proxy_memory_limit="512Mi"), {}, {})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (f"{OUR_ANNOTATIONS}skip-inbound-port", f"; did you mean {OUR_ANNOTATIONS}skip-inbound-ports?"),
        ("gossamer.mesh/injct", f"; did you mean {INJECT}?"),
        (f"{OUR_ANNOTATIONS}zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", " has no effect"),
    ],
)
def test_an_unknown_name_is_warned_of(name: str, sentence: str) -> None:
    (warning,) = find_strange({name: "x", "other/name": "x", INJECT: "enabled"}, "annotation")
    assert warning.startswith(f"annotation {name} is unknown and has no effect")
    assert warning.endswith(sentence)


def render_row(name: str) -> str:
    option = OPTIONS[name]
    default = f"`{option.default.replace(VERSION, 'VERSION')}`" if option.default else "none"
    return f"| `{OUR_ANNOTATIONS}{name}` | {default} | {option.allowed} | {option.effect} |"


@pytest.mark.parametrize("name", OPTIONS)
def test_the_document_has_every_option(name: str) -> None:
    assert render_row(name) in DOCUMENT.read_text().splitlines()
