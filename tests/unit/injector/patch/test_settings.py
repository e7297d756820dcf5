from __future__ import annotations

from typing import Any

import pytest

from injector.patch.fields import Refusal
from injector.patch.settings import Settings, read_settings
from tests.unit.injector.patch.pods import environment, find, make_pod, mesh


def test_what_an_installation_says() -> None:
    values = {
        "control_plane": "[fd00::1]:4150",
        "never": ["kube-system"],
        "defaults": {"native-sidecar": False, "opaque-ports": 5432},
    }
    settings = read_settings(values)
    assert settings.never == {"kube-system"}
    proxy = find(mesh(make_pod(), settings=settings), "gossamer-proxy")
    assert "[fd00::1]:4150" in proxy["command"]
    assert environment(proxy)["GOSSAMER_OPAQUE_PORTS"] == "5432"
    assert read_settings({}) == Settings()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"controlplane": "a:1"}, "'controlplane' is unknown; there are control_plane, never, defaults"),
        ({"control_plane": "gossamer"}, "the control plane 'gossamer' is not HOST:PORT"),
        ({"never": "kube-system"}, "never: give a list of namespaces"),
        ({"defaults": []}, "defaults: give an object of options"),
        ({"defaults": {"proxy-user": "1"}}, "defaults: 'proxy-user' is unknown; there are interception, "),
        ({"defaults": {"proxy-uid": "root"}}, "defaults: proxy-uid: 'root' is not a user id from 1"),
    ],
)
def test_what_an_installation_cannot_mean(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal) as refusal:
        read_settings(values)
    assert str(refusal.value).startswith(sentence)
