"""Keeps the certificate: one look at a time, each of which reads what is there and does the next step.

The order of a look is what makes several replicas safe without a leader. The webhook configuration is read before the
Secret, and patched only in the version that was read; so no caBundle is ever written from a Secret that is older than
the one that the caBundle before was written from, and no replica takes away an authority that another has added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

from injector.api.access import Access, Denied
from injector.certificate.brought import Handover, find_fault
from injector.certificate.bundle import Bundle, WebhookConfiguration
from injector.certificate.course import Step, Terms, choose, take
from injector.certificate.pair import Pair
from injector.certificate.secret import SecretStore
from injector.certificate.served import Served, UnusablePair
from injector.certificate.store import Foreign
from injector.problem import Problem
from mesh.access import Lost
from mesh.log import log

_TELL = {
    Step.BEGIN: "a new certificate is made, valid until {until}",
    Step.RESTORE: "the certificate is kept again, and its successor made",
    Step.PREPARE: "a new certificate is made, and served when its authority is in every caBundle",
    Step.PROMOTE: "the new certificate is served, valid until {until}",
    Step.FORGET: "the authority before is no longer trusted",
}


def read_clock() -> datetime:
    return datetime.now(UTC)


class Keeper:
    """`rotations` counts the certificates that replaced one; `not_after` is when the one that is served ends."""

    def __init__(
        self,
        access: Access,
        secret: SecretStore,
        bundle: Bundle,
        names: tuple[str, ...],
        terms: Terms,
        served: Served,
        clock: Callable[[], datetime] = read_clock,
    ) -> None:
        self.rotations = 0
        self.problem = Problem("the certificate is kept again")
        self._access = access
        self._secret, self._bundle = secret, bundle
        self._names, self._terms = names, terms
        self._served, self._clock = served, clock
        self._pair: Pair | None = None
        self._is_trusted = False
        self._handover: Handover | None = None  # there while the Secret is the user's
        self._trusted_since: tuple[frozenset[str], float] | None = None

    @property
    def not_after(self) -> datetime | None:
        return self._pair.not_after if self._pair else None

    def unready_reason(self) -> str:
        """Once all was in place, an API server that cannot be asked does not change that."""
        if self._pair is not None and self._pair.not_after <= self._clock():
            return "the certificate has ended, and there is no new one"
        if self._served.is_loaded and self._is_trusted:
            return ""
        return self.problem.text or "the certificate is not in place yet"

    async def run(self) -> None:
        while True:
            done = await self._try()
            await asyncio.sleep(self._terms.look_s if done else self._terms.look_s / 10)

    async def _try(self) -> bool:
        """A look; False if the next should follow soon."""
        try:
            done = await self.look()
        except Foreign as error:
            self.problem.tell(f"the Secret {self._secret.name} cannot be used: {error}")
            return True
        except Denied as denied:
            self.problem.tell(f"cannot keep the certificate: {denied}{advise(denied, self._bundle.name)}")
            return True
        except Lost as lost:
            self.problem.tell(f"cannot ask the API server at {self._access.host}: {lost}")
            return True
        self.problem.settle()
        return done

    async def look(self) -> bool:
        """Do the next step. False where somebody else was first, so that this look was of the past."""
        configuration = await self._bundle.read()
        kept = await self._secret.read()
        if kept.is_brought and kept.store.current:
            return await self._follow(configuration, kept.store.current, kept.store.bundle())
        now, served = self._clock(), None if self._handover else self._pair  # the user's key is not kept by us
        trusted_s = self._observe(configuration, kept.store.bundle())
        step = choose(kept.store, served, trusted_s, self._names, self._terms, now)
        store = take(step, kept.store, served, self._names, self._terms, now)
        for problem in kept.problems:
            log(f"the Secret {self._secret.name} holds something else than was put there: {problem}; it is replaced")
        if (step is not Step.KEEP or kept.problems) and not await self._secret.write(store, kept):
            return False
        self._handover = None
        self._serve(store.current)
        if step in _TELL and store.current:
            log(_TELL[step].format(until=store.current.not_after.isoformat()))
        is_written = await self._bundle.write(configuration, store.bundle())
        self._is_trusted = is_written or self._is_trusted
        return is_written and step is Step.KEEP

    async def _follow(self, configuration: WebhookConfiguration, pair: Pair, authorities: frozenset[str]) -> bool:
        """Serve what the user has brought, as soon as it is trusted."""
        now = self._clock()
        if fault := find_fault(pair, self._names, now):
            raise Foreign(fault)
        handover = self._handover = self._handover or Handover(self._terms.spread_s)
        if handover.begin(pair, configuration.authorities()):
            log(f"the Secret {self._secret.name} is yours: it is never written, and what it holds is to be served")
        plan = handover.plan(authorities, self._pair, self._observe(configuration, authorities), now)
        if plan.is_served and pair != self._pair:
            try:
                self._serve(pair)
            except UnusablePair as error:
                raise Foreign(str(error)) from None
            log(f"your certificate is served, valid until {pair.not_after.isoformat()}")
        is_written = await self._bundle.write(configuration, plan.authorities)
        self._is_trusted = is_written or self._is_trusted
        return is_written

    def _observe(self, configuration: WebhookConfiguration, authorities: frozenset[str]) -> float | None:
        """For how long these have been read back from every caBundle."""
        if not authorities or not configuration.holds(authorities):
            self._trusted_since = None
            return None
        if self._trusted_since is None or self._trusted_since[0] != authorities:
            self._trusted_since = authorities, monotonic()
        return monotonic() - self._trusted_since[1]

    def _serve(self, pair: Pair | None) -> None:
        if pair is None or pair == self._pair:
            return
        self.rotations += self._pair is not None
        self._served.load(pair.certificate, pair.key)
        self._pair = pair


def advise(denied: Denied, webhook: str) -> str:
    if denied.code == 403:
        return "; grant what docs/rbac/injector.yaml has"
    if denied.code == 404:
        return f"; `mesh install` makes the webhook configuration {webhook}"
    if denied.code == 401:
        return "; check the credentials"
    return ""
