"""The balancer of one destination: power of two choices over the endpoints that may be drawn, and their ejection.

Two distinct draws, and the lower load wins: nearly as good as knowing the least loaded of all, without the herd that
such knowledge makes of many clients. Latencies within a factor of `tie_ratio` are noise, and there the fewer pending
requests decide: the peaks of equal pods differ that much, and a peak would keep its pod idle until it has decayed.
An endpoint of weight 3 takes part as three of weight 1 that share its pending requests; so two draws can fall on the
same one, and then it is taken.

Invariants, after every call: `ready` holds exactly the endpoints that are ready and not ejected; at most half of all
endpoints are ejected; `ready` is empty only if no endpoint is ready.
Ejections need no timer: `pick` compares `now` with the time of the next probe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.balance.endpoint import Endpoint
from proxy.balance.settings import Settings

_NEVER = float("inf")
_DEFAULTS = Settings()
# Comparing with the peers is linear in their number, so it is not done for every fault of a failing fleet.
_JUDGE_EVERY_S = 0.01
# Weights are reduced to at most about so many draws.
_MAX_DRAWS = 4096


class Balancer:
    """`endpoints` are all of them, `ready` those that are drawn; an endpoint belongs to one balancer."""

    __slots__ = (
        "_by_address",
        "_draws",
        "_ejected",
        "_judged_at_s",
        "_next_check_s",
        "_tie_ratio",
        "endpoints",
        "ready",
        "settings",
    )

    def __init__(self, endpoints: Iterable[Endpoint] = (), settings: Settings = _DEFAULTS) -> None:
        self.settings = settings
        self._tie_ratio = settings.tie_ratio
        self.endpoints: list[Endpoint] = []
        self.ready: list[Endpoint] = []
        # `ready`, each endpoint as often as its weight says; the same list where all weights are equal.
        self._draws: list[Endpoint] = self.ready
        self._ejected: list[Endpoint] = []
        self._by_address: dict[tuple[str, int], Endpoint] = {}
        self._next_check_s = _NEVER
        self._judged_at_s = -_NEVER
        self.replace(endpoints)

    def pick(self, now: float, rng: Callable[[], float], avoid: tuple[Endpoint, ...] = ()) -> Endpoint | None:
        """The endpoint for one request, or None where none may be drawn; never one of `avoid`."""
        if now >= self._next_check_s:
            probe = self._due_probe(now, rng, avoid)
            if probe is not None:
                return probe
        draws = self._draws
        if avoid:
            draws = [endpoint for endpoint in draws if endpoint not in avoid]
        n = len(draws)
        if n < 2:
            return draws[0] if n else None
        # One random number serves both draws: its integral part the first, the rest the second.
        x = rng() * n
        i = int(x)
        j = int((x - i) * (n - 1))
        if j >= i:
            j += 1
        first = draws[i]
        second = draws[j]
        if first is second:
            return first
        first_s = first.rtt(now)
        second_s = second.rtt(now)
        first_load = first.pending / first.share
        second_load = second.pending / second.share
        if first_s > self._tie_ratio * second_s or second_s > self._tie_ratio * first_s:
            first_load = first_s * (first_load + 1.0)
            second_load = second_s * (second_load + 1.0)
        return first if first_load <= second_load else second

    def replace(self, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """Take over a new set; an endpoint whose address is known keeps its object. Returns the ones removed."""
        wanted = {endpoint.address: endpoint for endpoint in endpoints}
        removed = [endpoint for endpoint in self.endpoints if endpoint.address not in wanted]
        for endpoint in removed:
            endpoint.owner = None
        for address, endpoint in wanted.items():
            known = self._by_address.get(address)
            if known is None:
                endpoint.adopt(self, self.settings)
            else:
                known.weight = endpoint.weight
                wanted[address] = known
        self._by_address = wanted
        self.endpoints = list(wanted.values())
        self._ejected = [endpoint for endpoint in self._ejected if endpoint.owner is self]
        self._share()
        self._settle()
        return removed

    def set_ready(self, endpoint: Endpoint, ready: bool) -> None:
        """Whether the endpoint can take requests now, in the eyes of the connection pool."""
        changed = endpoint.ready != ready
        endpoint.ready = ready
        if changed and endpoint.owner is self:
            self._settle()

    def judge(self, endpoint: Endpoint, now: float, wait_s: float) -> None:
        """After a fault: eject the endpoint if it is broken, or clearly worse than its peers, and others remain."""
        if len(self._ejected) >= len(self.endpoints) // 2 or len(self.ready) < 2 or not endpoint.ready:
            return
        if endpoint.breaker.streak >= self.settings.consecutive_faults or self._is_outlier(endpoint, now):
            endpoint.breaker.eject(now, wait_s)
            self._ejected.append(endpoint)
            self._settle()

    def judge_return(self, endpoint: Endpoint, now: float) -> None:
        """One that is ready again is judged by what it has just lost, unless half of the others have lost as much."""
        faults = endpoint.breaker.faults(now)
        others = [other for other in self.endpoints if other is not endpoint]
        alike = sum(other.ejected or 2 * other.breaker.faults(now) >= faults for other in others)
        if endpoint.owner is self and faults and 2 * alike < len(others):
            self.judge(endpoint, now, 0.0)

    def postpone(self, endpoint: Endpoint, now: float, wait_s: float) -> None:
        """After a failed probe: stay ejected, for longer."""
        endpoint.breaker.eject(now, wait_s)
        self._next_check_s = now

    def readmit(self, endpoint: Endpoint) -> None:
        """After a probe that was answered."""
        endpoint.breaker.readmit()
        self._ejected.remove(endpoint)
        self._settle()

    def _due_probe(self, now: float, rng: Callable[[], float], avoid: tuple[Endpoint, ...]) -> Endpoint | None:
        probe = None
        next_check_s = _NEVER
        for endpoint in self._ejected:
            if not endpoint.ready:
                continue
            breaker = endpoint.breaker
            breaker.delay(self.settings.backoff_jitter * rng())
            if probe is None and breaker.probe_at_s <= now and endpoint not in avoid:
                probe = endpoint
                breaker.probe(now)
            next_check_s = min(next_check_s, breaker.probe_at_s)
        self._next_check_s = next_check_s
        return probe

    def _is_outlier(self, endpoint: Endpoint, now: float) -> bool:
        """Whether the faults exceed what the peers' fault rate lets expect by three standard deviations."""
        faults = endpoint.breaker.faults(now)
        requests = endpoint.breaker.requests(now)
        allowed = (1.0 - self.settings.success_rate) * requests
        if requests < self.settings.min_requests or faults <= allowed or now < self._judged_at_s + _JUDGE_EVERY_S:
            return False
        self._judged_at_s = now
        peer_faults = sum(peer.breaker.faults(now) for peer in self.ready) - faults
        peer_requests = sum(peer.breaker.requests(now) for peer in self.ready) - requests
        if peer_requests < self.settings.min_requests:
            return False
        expected = requests * peer_faults / peer_requests
        return bool(faults > expected and (faults - expected) ** 2 > 9 * expected)

    def _settle(self) -> None:
        """Restore the invariants after any change."""
        while self._ejected and (len(self._ejected) > len(self.endpoints) // 2 or self._is_deserted()):
            spared = min(self._ejected, key=lambda endpoint: (not endpoint.ready, endpoint.breaker.probe_at_s))
            spared.breaker.readmit()
            self._ejected.remove(spared)
        self.ready = [endpoint for endpoint in self.endpoints if endpoint.ready and not endpoint.breaker.ejected]
        self._draws = self._weighted()
        self._next_check_s = -_NEVER if self._ejected else _NEVER

    def _is_deserted(self) -> bool:
        """Whether the endpoints that are ready are all ejected."""
        ready = [endpoint for endpoint in self.endpoints if endpoint.ready]
        return bool(ready) and all(endpoint.breaker.ejected for endpoint in ready)

    def _share(self) -> None:
        lightest = min((endpoint.weight for endpoint in self.endpoints), default=1)
        for endpoint in self.endpoints:
            endpoint.share = max(1, endpoint.weight) / max(1, lightest)

    def _weighted(self) -> list[Endpoint]:
        total = sum(endpoint.share for endpoint in self.ready)
        if total == len(self.ready):
            return self.ready
        scale = min(1.0, _MAX_DRAWS / total)
        return [endpoint for endpoint in self.ready for _ in range(max(1, round(endpoint.share * scale)))]
