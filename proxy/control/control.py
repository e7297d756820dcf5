"""The sidecar's side of the control plane: which names are wanted, and what is known of them.

Names are subscribed as the pod asks for them; past `MAX_NAMES` the one that was not asked for the longest is dropped,
of those without a destination if they are more than half.
What is known is never lost to a control plane that is away, slow or broken: it is replaced by what comes instead.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from proxy.control.cache import is_sound, read_cache, write_cache
from proxy.control.conversation import Conversation, Counters
from proxy.control.delta import Delta
from proxy.control.dial import DialError, dial
from proxy.control.messages import LISTENER, TYPES, Node, Resource
from proxy.control.tree import Key, Tree
from proxy.net.adapter import describe
from proxy.net.log import log, log_bug
from proxy.route.model import Address, Destination

MAX_NAMES = 1_000
MAX_NAME_CHARS = 300
UNUSED_S = 600.0
_NAME = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_BACKOFF_MIN_S = 0.1
_BACKOFF_MAX_S = 30.0
_BACKOFF_FLOOR_S = 0.01
_KEEPALIVE_S = 30.0
# A stream that lasted, or that answered and did not break at once, is worth coming back to without a wait.
_STEADY_S = 5.0
_LASTING_S = 60.0
# A change is saved soon, many are saved together.
_SAVE_DELAY_S = 1.0
_SAVE_PAUSE_S = 5.0


class Control:
    """`on_change(name, destination)` is called from the loop, never from within `want`; None: no such destination."""

    def __init__(
        self,
        address: Address,
        node: Node,
        on_change: Callable[[str, Destination | None], None],
        rng: Callable[[], float],
        cache_path: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        self.address = address
        self.node = node
        self.on_change = on_change
        self.rng = rng
        self.cache_path = cache_path
        self.ca_file = ca_file
        self.last_error = ""
        self.keepalive_s = _KEEPALIVE_S
        self.counters = Counters()
        self.delta = Delta()
        self.tree = Tree(self.delta, keep_bodies=cache_path is not None)
        self._names: OrderedDict[str, float] = OrderedDict()
        self._refused: dict[str, None] = {}
        self._scheduled = False
        self._news = asyncio.Event()
        self._unsaved = asyncio.Event()
        self._talk: Conversation | None = None
        self._contact_s: float | None = None
        # Failures since an answer, for people; attempts since a stream that lasted, for the backoff.
        self._failures = 0
        self._attempts = 0

    # ---- what others ask

    def want(self, name: str, now: float) -> None:
        """Subscribe to a name, or note that it is still of use."""
        if name in self._names:
            self._names[name] = now
            self._names.move_to_end(name)
            return
        if is_name(name):
            self._names[name] = now
            self.tree.want(name)
            if len(self._names) > MAX_NAMES:
                self._drop_one()
        else:
            self._refused[name] = None
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._settle)

    def _drop_one(self) -> None:
        """Who makes names up must not cost the pod those that it uses: such names have half of the room."""
        idle = [name for name in self._names if self.tree.known(name) is None]
        victim = idle[0] if len(idle) > MAX_NAMES // 2 else next(iter(self._names))
        del self._names[victim]
        self.tree.drop(victim)

    def forget_unused(self, now: float) -> None:
        """Drop what has not been wanted for long: its endpoints need no connections any more."""
        while self._names:
            name, wanted_s = next(iter(self._names.items()))
            if now - wanted_s < UNUSED_S:
                return
            del self._names[name]
            self.tree.drop(name)
            self._schedule()

    def known(self, name: str) -> Destination | None:
        return self.tree.known(name)

    def is_missing(self, name: str) -> bool:
        """Whether the control plane says that there is no such destination."""
        return self.tree.is_missing(name) or not is_name(name)

    @property
    def connected(self) -> bool:
        return self._talk is not None and self._talk.is_established()

    @property
    def subscriptions(self) -> int:
        return len(self._names)

    def read_bytes(self) -> tuple[int, int]:
        """Received and sent so far."""
        link = self._talk.link if self._talk is not None else None
        received, sent = (link.received_bytes, link.sent_bytes) if link is not None else (0, 0)
        return self.counters.received_bytes + received, self.counters.sent_bytes + sent

    def since_contact_s(self, now: float) -> float | None:
        """How long the control plane has not been heard; None where it never was."""
        link = self._talk.link if self._talk is not None else None
        heard_s = link.heard_s if link is not None and link.received_bytes else self._contact_s
        return None if heard_s is None else max(0.0, now - heard_s)

    # ---- life

    async def run(self) -> None:
        """Until cancelled."""
        if self.cache_path is None:
            await self._keep_talking()
            return
        await self._restore(self.cache_path)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_talking())
            group.create_task(self._keep_saving(self.cache_path))

    async def _keep_talking(self) -> None:
        while True:
            try:
                await self._talk_once()
            except DialError as error:
                self._failed(str(error))
            except Exception as bug:  # Of ours: traffic goes on, and so do we.
                log_bug("the control plane's client", bug)
                self._failed(describe(bug))
            limit_s = min(_BACKOFF_MAX_S, _BACKOFF_MIN_S * 2.0 ** min(self._attempts, 20))
            self._attempts += 1
            await asyncio.sleep(max(_BACKOFF_FLOOR_S, limit_s * self.rng()))

    async def _talk_once(self) -> None:
        link = await dial(self.address, self.ca_file, self.rng, self._news.set)
        talk = self._talk = Conversation(
            link, self.delta, self.tree, self.node, self.counters, self._answered, self._settle
        )
        self.counters.streams += 1
        try:
            reason = await talk.run(self._news, self.keepalive_s)
        finally:
            self._talk = None
            link.close()
            if link.received_bytes:
                self._contact_s = link.heard_s
            self.counters.received_bytes += link.received_bytes
            self.counters.sent_bytes += link.sent_bytes
        if link.call.calm:
            # gRPC's own clients do the same after GOAWAY(ENHANCE_YOUR_CALM).
            self.keepalive_s *= 2
        lasted_s = link.heard_s - link.opened_s
        if lasted_s > _LASTING_S or (self.delta.answered and lasted_s > _STEADY_S):
            self._attempts = 0
        if not link.call.leaving or self._attempts:
            self._failed(reason)

    def _failed(self, reason: str) -> None:
        if self._failures == 0 or reason != self.last_error:
            log(f"control plane {self.address}: {reason}; what is known stays in force, tried again until it answers")
        self._failures += 1
        self.counters.failures += 1
        self.last_error = reason

    def _answered(self, fault: str) -> None:
        if fault and fault != self.last_error:
            log(f"control plane {self.address}: refused {fault}")
        if self._failures and self._talk is not None and self._talk.is_good:
            log(f"control plane {self.address}: connected")
            self._failures = 0
        self.last_error = fault

    def _settle(self) -> None:
        """Publish all that has changed."""
        self._scheduled = False
        changes = self.tree.settle()
        if changes:
            self._unsaved.set()
        changes += [(name, None) for name in self._refused]
        self._refused.clear()
        self._news.set()
        for name, destination in changes:
            try:
                self.on_change(name, destination)
            except Exception as bug:  # The others must hear of theirs.
                log_bug(f"taking up the destination {name}", bug)

    # ---- the disk

    async def _restore(self, path: str) -> None:
        try:
            resources = await asyncio.to_thread(read_cache, path, self.node.namespace)
        except Exception as error:  # Whatever it is, the control plane has the same.
            log(f"the cache {path} is ignored: {describe(error)}")
            return
        now = monotonic()
        for type_url in TYPES:
            for resource in [resource for resource in resources if resource.type_url == type_url]:
                if type_url == LISTENER and len(self._names) < MAX_NAMES:
                    self.want(resource.name, now)
                if self.delta.wants(type_url, resource.name) and not self.tree.put(resource) and is_sound(resource):
                    self.delta.restore(type_url, resource.name, resource.version)
            # What these lead to is wanted from here on.
            self._settle()

    async def _keep_saving(self, path: str) -> None:
        saved: dict[Key, Resource] = {}
        reported = ""
        while True:
            await self._unsaved.wait()
            await asyncio.sleep(_SAVE_DELAY_S)
            self._unsaved.clear()
            if self.tree.good == saved:
                continue
            saved = dict(self.tree.good)
            error = await self._save(path)
            if error and error != reported:
                log(f"the cache {path} cannot be written: {error}")
            reported = error
            await asyncio.sleep(_SAVE_PAUSE_S)

    async def _save(self, path: str) -> str:
        try:
            await asyncio.to_thread(write_cache, path, self.node.namespace, self._good())
        except Exception as error:  # Whatever it is, traffic does not depend on it.
            return describe(error)
        return ""

    def _good(self) -> list[Resource]:
        """All that is in force, the names in the order in which they were last wanted."""
        good = self.tree.good
        listeners = [good[LISTENER, name] for name in self._names if (LISTENER, name) in good]
        return listeners + [resource for (type_url, _), resource in good.items() if type_url != LISTENER]


def is_name(name: str) -> bool:
    """HOST or HOST:PORT; a `*` would ask for everything."""
    return len(name) <= MAX_NAME_CHARS and _NAME.fullmatch(name) is not None
