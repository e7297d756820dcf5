from __future__ import annotations

from mesh.demo.application import EMOJIS, FAILING_METHOD, KILLED_POD, PODS, SERVICES, SLOW_POD, VOTING


def test_names_of_the_faults_exist() -> None:
    pods = {pod for _service, names in PODS for pod in names}
    assert {SLOW_POD, KILLED_POD} <= pods
    assert FAILING_METHOD in {VOTING.path(method) for method in VOTING.methods}


def test_each_emoji_can_be_voted_for() -> None:
    assert {f"Vote{name}" for name in EMOJIS} == set(VOTING.methods)


def test_pods_and_authorities_are_named_after_their_service() -> None:
    assert SERVICES["emoji"].pods == ("emoji-1", "emoji-2", "emoji-3")
    assert SERVICES["voting"].authority == "voting.emojivoto"
