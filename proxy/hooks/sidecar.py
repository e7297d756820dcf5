"""The sidecar's admin port, asked from another process of the pod: one question, one answer, blocking."""

from __future__ import annotations

import http.client
import time

from proxy.route.model import Address

POLL_S = 0.1
_ANSWER_S = 5.0


class NoAnswer(Exception):
    """Why; complete but for who was asked."""


def ask(admin: Address, method: str, path: str, timeout_s: float) -> str:
    """The text of a 2xx answer."""
    connection = http.client.HTTPConnection(admin.host, admin.port, timeout=timeout_s)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        text = response.read(1000).decode(errors="replace").strip()
    except TimeoutError:
        raise NoAnswer(f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise NoAnswer((error.strerror or str(error)).lower()) from None
    except http.client.HTTPException:
        raise NoAnswer("no HTTP there") from None
    finally:
        connection.close()
    if response.status // 100 != 2:
        raise NoAnswer(text or f"status {response.status}")
    return text


def wait_ready(admin: Address, timeout_s: float) -> None:
    """Until /ready says so; NoAnswer with the last reason where it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        left_s = deadline_s - time.monotonic()
        try:
            ask(admin, "GET", "/ready", max(POLL_S, min(_ANSWER_S, left_s)))
        except NoAnswer:
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(POLL_S)
        else:
            return
