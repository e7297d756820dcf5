"""Writes the Events that the ledger has: about the workload that people know, beside the path of reviews.

A pod's controller may have one itself, a ReplicaSet its Deployment: it is read from the API, and must be there, with
that uid, since anybody can make a pod that names it. Where we may not read it, the Event is about the controller.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime
from time import monotonic, time
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from injector.api.access import MERGE_PATCH, Access, Denied
from injector.problem import Problem
from injector.webhook.judgement import About, Happening, Note, find_controller, read_about
from injector.webhook.ledger import Entry, Ledger
from mesh.access import Lost
from mesh.log import escape, log_bug

COMPONENT: Final = "gossamer-injector"
_TICK_S: Final = 1.0
_ABOVE: Final = {
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets/{}",
    "Job": "/apis/batch/v1/namespaces/{}/jobs/{}",
}
_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_ABOVE_MAX: Final = 1000
_MESSAGE_CHARS: Final = 1000  # the API takes 1024


class Events:
    """`add` is for the path of reviews: it waits for nothing."""

    def __init__(self, access: Access, instance: str) -> None:
        self.ledger = Ledger()
        self.problem = Problem("Events are written again")
        self._access, self._instance = access, instance
        self._above: OrderedDict[About, About | None] = OrderedDict()

    def add(self, note: Note | None) -> None:
        if note is not None:
            self.ledger.add(note, monotonic())

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self.flush()

    async def flush(self, is_last: bool = False) -> None:
        for entry in self.ledger.take(monotonic(), is_last):
            try:
                await self._write(entry)
            except (Denied, Lost) as error:
                is_gone = isinstance(error, Denied) and error.code == 404  # the namespace, on its way out
                if not is_gone:
                    self.problem.tell(f"cannot write Events: {error}")
            except Exception as bug:  # those of others are to be written nevertheless
                log_bug(f"an Event in {entry.note.about.namespace} failed", bug)
            else:
                self.problem.settle()

    async def _write(self, entry: Entry) -> None:
        note = entry.note
        path = f"/api/v1/namespaces/{quote(note.about.namespace, safe='')}/events"
        if entry.name:
            try:
                change = {"count": entry.count, "lastTimestamp": stamp(entry.last_s)}
                await self._access.call("PATCH", f"{path}/{quote(entry.name, safe='')}", change, MERGE_PATCH)
                return
            except Denied as denied:
                if denied.code != 404:  # Events live for an hour
                    raise
        about = await self._find_above(note.about)
        if about is not None:
            name = f"{note.about.name[:200]}.{uuid4().hex[:16]}"
            await self._access.call("POST", path, self._make(entry, name, about))
            entry.name = name

    def _make(self, entry: Entry, name: str, about: About) -> dict[str, Any]:
        note = entry.note
        reference = {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": about.namespace},
            "involvedObject": {key: value for key, value in reference.items() if value},
            "type": "Warning" if note.happening is Happening.FAILED else "Normal",
            "reason": note.happening.value,
            "message": escape(note.message)[:_MESSAGE_CHARS],
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
            "count": entry.count,
            "firstTimestamp": stamp(entry.first_s),
            "lastTimestamp": stamp(entry.last_s),
        }

    async def _find_above(self, about: About) -> About | None:
        """None where there is no such object."""
        if about.kind not in _ABOVE:
            return about
        if about not in self._above:
            self._above[about] = await self._ask_above(about)
            if len(self._above) > _ABOVE_MAX:
                self._above.popitem(last=False)
        return self._above[about]

    async def _ask_above(self, about: About) -> About | None:
        names = (quote(name, safe="") for name in (about.namespace, about.name))
        try:
            item = await self._access.get(_ABOVE[about.kind].format(*names), _METADATA)
        except Denied as denied:
            return None if denied.code == 404 else about
        metadata = item.get("metadata")
        if not isinstance(metadata, dict) or metadata.get("uid") != about.uid:
            return None
        if (reference := find_controller(metadata)) is None:
            return about
        return read_about(about.namespace, reference) or about


def stamp(moment_s: float) -> str:
    """A moment of the monotonic clock as the API writes times."""
    return datetime.fromtimestamp(time() - (monotonic() - moment_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
