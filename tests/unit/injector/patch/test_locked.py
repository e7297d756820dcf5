"""What the installation has locked is not set by those who write pods."""

from __future__ import annotations

import pytest

from injector.patch import Place, Verdict
from injector.patch.fields import Refusal
from injector.patch.settings import read_settings
from mesh.contract import PROXY_CONTAINER
from tests.unit.injector.patch.pods import find, make_pod, mesh

IMAGE = "config.gossamer.mesh/proxy-image"
SETTINGS = read_settings({"defaults": {"proxy-image": "mine:1"}, "locked": ["proxy-image"]})
SENTENCE = f"annotation {IMAGE}: the installation has locked it; leave it out"


@pytest.mark.parametrize("image", ["evil:1", "mine:1", ""])
def test_a_pod_that_names_it_is_refused(image: str) -> None:
    outcome = mesh(make_pod(proxy_image=image), settings=SETTINGS)
    assert (outcome.verdict, outcome.sentence) == (Verdict.REFUSED, SENTENCE)


def test_a_namespace_that_names_it_gets_no_pods() -> None:
    outcome = mesh(make_pod(), place=Place(annotations={IMAGE: "evil:1"}, is_asked=True), settings=SETTINGS)
    assert (outcome.verdict, outcome.sentence) == (Verdict.REFUSED, SENTENCE)


def test_the_installation_decides_and_other_options_are_free() -> None:
    outcome = mesh(make_pod(proxy_uid="7"), settings=SETTINGS)
    assert find(outcome, PROXY_CONTAINER)["image"] == "mine:1"
    assert find(outcome, PROXY_CONTAINER)["securityContext"]["runAsUser"] == 7


@pytest.mark.parametrize(
    ("locked", "said"),
    [("proxy-image", "give a list of options"), (["image"], "locked: 'image' is unknown; there are")],
)
def test_what_cannot_be_locked_is_refused(locked: object, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        read_settings({"locked": locked})
