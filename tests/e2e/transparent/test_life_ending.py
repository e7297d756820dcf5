"""A pod ends while others call it: no request is lost, whoever ends first and however long the application takes.

An application that ends at once is gone before anybody has heard: its sidecar refuses what still comes, and the
callers' sidecars send that elsewhere. The last form's application takes longer than its sidecar's deadline: that ends
the raw connections, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.transparent.ending import DELAY_S, EndingScene, Form, check_raw
from tests.netns.network import require_namespaces

RATE = 100  # of each kind, a second
FORMS = {
    "a native sidecar of two workers": Form(linger_s=2.0, workers=2),
    "a plain container of two workers": Form(is_native=False, linger_s=2.0, workers=2),
    "a native sidecar whose application ends at once": Form(),
    "a plain container whose application ends at once": Form(is_native=False, workers=2),
    "a native sidecar with a deadline": Form(linger_s=4.0, timeout_s=1.0),
}
# What a pod is made anew as, so that the next test finds what it wants.
NEXT = dict(zip(FORMS, [*FORMS.values()][1:], strict=False))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndingScene]:
    require_namespaces()
    first = next(iter(FORMS.values()))
    with EndingScene(tmp_path_factory.mktemp("mesh"), {"one": first}) as made:
        yield made


@pytest.mark.parametrize("name", FORMS)
def test_a_pod_ends(scene: EndingScene, name: str) -> None:
    form = FORMS[name]
    if scene.form("one") != form:
        scene.end("one")
        scene.begin("one", form)
    with scene.load(RATE) as load:
        scene.wait_requests("one", "two")
        end = scene.end("one")
        found = load.finish()
    scene.begin("one", NEXT.get(name, form))
    assert found.failures == {"get": [], "post": [], "grpc": []}
    assert sum(answers.get("one", 0) for answers in found.answers.values())
    assert set(end.calls) == ({"ok"} if form.linger_s else set())
    check_raw(found, [end], min(form.linger_s, DELAY_S + form.timeout_s))
