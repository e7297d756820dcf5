from __future__ import annotations

import json

from mesh.demo.figures import PodFigures
from mesh.demo.story import Mode, Story
from mesh.demo.summary import to_json, to_text
from mesh.demo.verdict import KillReport

VOTE = "/p.S/VoteDoughnut"
BUSY = PodFigures("voting", "voting-1", 90, 9.0, 0.9, 0.88889, 40.04, 59.0, 60.06)
SLOW = PodFigures("voting", "voting-2", 10, 1.0, 0.1, 1.0, 160.0, 179.0, 180.0)
IDLE = PodFigures("voting", "voting-2", 0, 0.0, 0.0, None, None, None, None)
ALL = PodFigures("voting", "voting-1", 100, 10.0, 1.0, 1.0, 40.0, 59.0, 60.0)
OUTCOMES = {(VOTE, "voting-1", "UNKNOWN"): 10, (VOTE, "voting-2", "UNKNOWN"): 1, ("/p.S/VoteJoy", "voting-1", "OK"): 89}


def story(kill: KillReport | None = None, slow: str | None = "voting-2", method: str | None = VOTE) -> Story:
    return Story({"unmeshed": Mode([ALL, IDLE], {}), "meshed": Mode([BUSY, SLOW], OUTCOMES)}, slow, method, kill)


def test_json_has_the_documented_shape() -> None:
    document = json.loads(json.dumps(to_json(story())))
    assert document["slow_pod"] == "voting-2"
    assert document["failing_method"] == VOTE
    assert "kill" not in document
    assert document["modes"]["meshed"]["pods"][0] == {
        "service": "voting",
        "pod": "voting-1",
        "requests": 90,
        "share": 0.9,
        "success_rate": 0.8889,
        "p50_ms": 40.0,
        "p99_ms": 60.1,
    }
    assert document["modes"]["unmeshed"]["pods"][1]["success_rate"] is None
    assert document["modes"]["meshed"]["failures"] == [
        {"method": VOTE, "pod": "voting-1", "grpc_status": "UNKNOWN", "count": 10},
        {"method": VOTE, "pod": "voting-2", "grpc_status": "UNKNOWN", "count": 1},
    ]


def test_json_tells_what_the_kill_cost() -> None:
    assert to_json(story(KillReport("voting-1", 4, 3, 0)))["kill"] == {
        "pod": "voting-1",
        "in_flight": 4,
        "failed_in_flight": 3,
        "failed_beyond": 0,
    }


def test_text_names_the_slow_pod_the_failing_method_and_the_kill() -> None:
    text = to_text(story(KillReport("voting-1", 4, 3, 0)))
    assert "voting: without the mesh voting-1 had 100% of the requests; with it voting-1 90%, voting-2 10%." in text
    assert "Slow pod: voting-2; half of its answers take 160 ms or more, and it got 10% of voting's requests." in text
    assert (
        f"Failing method: {VOTE}, with UNKNOWN on 2 of the 2 pods that it reached: the method's fault, not a pod's."
        in text
    )
    assert "Killed voting-1: 4 requests were in flight on it, of which 3 failed; 0 others failed." in text


def test_text_says_when_nothing_stands_out() -> None:
    text = to_text(story(slow=None, method=None))
    assert "Slow pod: none stands out." in text
    assert "Failing method: none stands out." in text
