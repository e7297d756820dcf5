"""The variables of a pod's life."""

import pytest

from proxy.errors import ConfigError
from proxy.life import Life, read_life

PROBES = '{"web": {"liveness": {"tcpSocket": {"port": 80}}}}'


def test_none_is_the_default() -> None:
    assert read_life({}) == Life(5.0, 0.0, None, "", {})


def test_all() -> None:
    life = read_life(
        {
            "GOSSAMER_DRAIN_DELAY": "2s",
            "GOSSAMER_SHUTDOWN_GRACE": "1m",
            "GOSSAMER_DRAIN_TIMEOUT": "0",
            "GOSSAMER_POD_IP": "fd00::7",
            "GOSSAMER_PROBES": PROBES,
        }
    )
    assert (life.drain_delay_s, life.shutdown_grace_s, life.drain_timeout_s) == (2.0, 60.0, 0.0)
    assert (life.pod_ip, list(life.probes)) == ("fd00::7", ["/app-health/web/liveness"])


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"GOSSAMER_DRAIN_DELAY": "5"}, "GOSSAMER_DRAIN_DELAY: '5' is no duration"),
        ({"GOSSAMER_SHUTDOWN_GRACE": "2h"}, "GOSSAMER_SHUTDOWN_GRACE: '2h' is out of range (up to 1h)"),
        ({"GOSSAMER_POD_IP": "web-0"}, "GOSSAMER_POD_IP: 'web-0' is no IP address"),
        ({"GOSSAMER_PROBES": PROBES}, "GOSSAMER_PROBES needs GOSSAMER_POD_IP"),
        ({"GOSSAMER_PROBES": "x", "GOSSAMER_POD_IP": "10.0.0.1"}, "GOSSAMER_PROBES is no JSON"),
    ],
)
def test_what_is_refused(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_life(environment)
    assert str(error.value).startswith(sentence)
