"""The client's half of incremental xDS for the four types of one ADS stream, sans-I/O.

Owns what is subscribed, which version of it is here, and what must be said next. Rules that are easy to get wrong:
- A type's first request on a stream names all that is wanted and the versions that are here, so that another replica
  sends nothing that is here already. Without a name it would be a wildcard: then nothing is said, nor acknowledged.
- A response with a bad resource is refused as a whole, but its good resources count (gRFC A46), and only theirs are the
  versions that we name. The same bad resource again and again is answered more and more slowly.
- A name is missing where the server says so, or where it has said nothing of it for 15 s (the xDS protocol, "Knowing
  When a Requested Resource Does Not Exist"), has been heard in that time, and has answered anything on this stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxy.control.messages import TYPES, Request, Resource, Response

MISSING_AFTER_S = 15.0
MAX_ERROR_CHARS = 2_000
_REPLY_DELAY_MIN_S = 1.0
_REPLY_DELAY_MAX_S = 30.0
_REPLIES_MAX = 100


class Subscription:
    """One type. `begun` once its first request of this stream has been sent."""

    __slots__ = ("awaited", "begun", "fresh", "names", "refused", "repeats", "replies", "stale", "told", "versions")

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.versions: dict[str, str] = {}
        # Names that the server has been told on this stream, and the changes to tell with the next request.
        self.told: set[str] = set()
        self.fresh: dict[str, None] = {}
        self.stale: dict[str, None] = {}
        # Since when an answer has been due.
        self.awaited: dict[str, float] = {}
        # When to send which nonce back, and with what error.
        self.replies: list[tuple[float, str, str]] = []
        self.refused: set[tuple[str, str]] = set()
        self.repeats = 0
        self.begun = False

    def restart(self) -> None:
        self.begun = False
        self.told.clear()
        self.stale.clear()
        self.awaited.clear()
        self.replies.clear()
        self.refused.clear()
        self.repeats = 0

    def add(self, name: str) -> None:
        self.names[name] = None
        self.fresh[name] = None
        self.stale.pop(name, None)

    def discard(self, name: str) -> None:
        self.names.pop(name, None)
        self.versions.pop(name, None)
        self.awaited.pop(name, None)
        self.fresh.pop(name, None)
        if name in self.told:
            self.stale[name] = None


class Delta:
    """`subscribe` and `unsubscribe` at any time, `restart` with each stream, then `requests` and `receive`."""

    def __init__(self) -> None:
        self.types = {type_url: Subscription() for type_url in TYPES}
        # Whether the server has answered anything on this stream.
        self.answered = False

    def subscribe(self, type_url: str, name: str) -> None:
        self.types[type_url].add(name)

    def unsubscribe(self, type_url: str, name: str) -> None:
        self.types[type_url].discard(name)

    def wants(self, type_url: str, name: str) -> bool:
        return name in self.types[type_url].names

    def restore(self, type_url: str, name: str, version: str) -> None:
        """A version that is here from an earlier life of the process."""
        self.types[type_url].versions[name] = version

    def restart(self) -> None:
        """A new stream begins: the server knows nothing of us."""
        self.answered = False
        for subscription in self.types.values():
            subscription.restart()

    # ---- what to say

    def requests(self, now: float) -> list[Request]:
        """All that is to be said now; it counts as sent."""
        requests: list[Request] = []
        for type_url, subscription in self.types.items():
            if subscription.begun:
                requests += take_replies(type_url, subscription, now)
            if subscription.fresh or subscription.stale or not subscription.begun:
                requests += take_names(type_url, subscription, now)
        return requests

    # ---- what was said

    def receive(
        self, response: Response, now: float, accept: Callable[[Resource], str], remove: Callable[[str], None]
    ) -> Iterator[str]:
        """Yields after each resource, with what was wrong with it or '', so that the caller may pause.

        `accept` takes a resource that is wanted and says what is wrong with it; `remove` takes a name.
        """
        subscription = self.types.get(response.type_url)
        if subscription is None or not subscription.begun:
            yield "a response of a type that was not asked for"
            return
        self.answered = True
        faults: dict[tuple[str, str], str] = {}
        for resource in response.resources:
            fault = self._take(subscription, response.type_url, resource, accept)
            if fault:
                fault = faults[resource.name, resource.version] = f"{resource.name}: {fault}"
            yield fault
        for name in response.removed:
            if name in subscription.names:
                subscription.awaited.pop(name, None)
                subscription.versions.pop(name, None)
                remove(name)
                yield ""
        reply(subscription, response.nonce, faults, now)

    def _take(
        self, subscription: Subscription, type_url: str, resource: Resource, accept: Callable[[Resource], str]
    ) -> str:
        if resource.name not in subscription.names:
            # Under way when we unsubscribed.
            return ""
        subscription.awaited.pop(resource.name, None)
        fault = accept(resource) if resource.type_url == type_url else f"it holds a {resource.type_url or 'nothing'}"
        if not fault:
            subscription.versions[resource.name] = resource.version
        return fault

    def expire(self, now: float, heard_s: float) -> list[tuple[str, str]]:
        """The type and name of what must be missing: no answer for too long, from a server that was heard meanwhile."""
        if not self.answered:
            return []
        expired = []
        for type_url, subscription in self.types.items():
            names = [
                name
                for name, since_s in subscription.awaited.items()
                if now - since_s >= MISSING_AFTER_S and heard_s > since_s
            ]
            for name in names:
                del subscription.awaited[name]
                expired.append((type_url, name))
        return expired

    def waiting_since(self) -> float | None:
        """Since when the longest unanswered question has waited."""
        return min((since_s for kind in self.types.values() for since_s in kind.awaited.values()), default=None)


def take_names(type_url: str, subscription: Subscription, now: float) -> list[Request]:
    """The request that tells what is wanted: all of it in the first, the change in later ones."""
    first = not subscription.begun
    names = tuple(subscription.names if first else subscription.fresh)
    stale = tuple(subscription.stale)
    versions = dict(subscription.versions) if first else {}
    subscription.fresh.clear()
    subscription.stale.clear()
    if not names and not stale:
        return []
    subscription.begun = True
    subscription.told.difference_update(stale)
    subscription.told.update(names)
    for name in names:
        if name not in versions:
            subscription.awaited[name] = now
    return [Request(type_url, names, stale, versions)]


def take_replies(type_url: str, subscription: Subscription, now: float) -> list[Request]:
    """Acknowledgements and refusals, in the order of their responses."""
    due = 0
    while due < len(subscription.replies) and subscription.replies[due][0] <= now:
        due += 1
    requests = [Request(type_url, nonce=nonce, error=error) for _, nonce, error in subscription.replies[:due]]
    del subscription.replies[:due]
    return requests


def reply(subscription: Subscription, nonce: str, faults: dict[tuple[str, str], str], now: float) -> None:
    """Queue the answer to a response. A server that meets each refusal with the same again would never rest."""
    if faults and faults.keys() <= subscription.refused:
        subscription.repeats += 1
    else:
        subscription.repeats = 0
        subscription.refused = set(faults)
    delay_s = min(_REPLY_DELAY_MAX_S, _REPLY_DELAY_MIN_S * 2.0 ** min(subscription.repeats - 1, 10))
    due_s = now + delay_s if subscription.repeats else now
    # Whoever sends on without waiting for replies does not miss the oldest.
    del subscription.replies[: max(0, len(subscription.replies) - _REPLIES_MAX + 1)]
    subscription.replies.append((due_s, nonce, "; ".join(faults.values())[:MAX_ERROR_CHARS]))
