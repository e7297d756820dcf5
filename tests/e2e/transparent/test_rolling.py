"""Every backend is replaced, one after the other, under a steady load of each protocol: nothing is lost.

Requests begin when they are due, 1,500 a second in all, whether or not others have ended. A machine that cannot do that
beside three sidecars and their applications gets less, and the test says so.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.transparent.ending import End, EndingScene, Form, Found, check_raw
from tests.netns.network import require_namespaces

RATE = 500  # of each kind, a second
# The load itself was so late: something else had the machine, and who is told of an end may be told seconds later.
LATE_S = 0.1
ATTEMPTS = 3
# One application is gone before anybody has heard that it ends, the other takes its time.
FORMS = {"one": Form(), "two": Form(linger_s=2.0)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndingScene]:
    require_namespaces()
    with EndingScene(tmp_path_factory.mktemp("mesh"), dict(FORMS)) as made:
        yield made


def test_all_backends_are_replaced_under_load(scene: EndingScene, capsys: pytest.CaptureFixture[str]) -> None:
    """A POST too: the backends drain. Raw connections live until their backend has ended."""
    for _attempt in range(ATTEMPTS):
        found, ends = replace_all(scene)
        with capsys.disabled():
            late = f"[the latest began {found.latest_s:.2f} s late]"
            print("".join(f"\n{line}" for line in found.said), late, end=" ")
        if found.latest_s < LATE_S:
            break
    assert found.failures == {"get": [], "post": [], "grpc": []}
    for kind, answers in found.answers.items():
        assert set(answers) == {"one", "two"}, kind
    check_raw(found, ends, 0.0)


def replace_all(scene: EndingScene) -> tuple[Found, list[End]]:
    with scene.load(RATE) as load:
        scene.wait_requests("one", "two")
        ends = []
        for name in FORMS:
            ends.append(scene.end(name))
            scene.begin(name, FORMS[name])
            scene.wait_requests("one", "two")
        return load.finish(), ends
