"""POST /mutate: a review in, its answer out. A bug of ours is a 500: then the failure policy decides, not we.

Whoever is on the pods' network can post here: a body has little time, and what all reviews hold is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

from aiohttp import ClientError, StreamReader, web

from injector.api.access import Denied
from injector.metrics import Metrics
from injector.patch import Outcome, Settings, Verdict
from injector.webhook.events import Events
from injector.webhook.judgement import ALREADY, NOT_ASKED, judge, make_answer, make_failure_note, make_note
from injector.webhook.namespaces import NOTHING, Namespaces
from injector.webhook.review import MAX_BYTES, Answer, Malformed, Review, decode, encode, weigh
from injector.webhook.room import Full, Room, Share
from mesh.access import Lost
from mesh.log import log_bug

PATH: Final = "/mutate"
BODY_S: Final = 2.0  # the API server sends it at once
ROOM_BYTES: Final = 56 << 20  # of all reviews; the largest that there can be has room, with its answer
# What a client that goes away, or that says what is no HTTP, does to who reads its body.
_BROKEN: Final = (OSError, ClientError, web.RequestPayloadError)


class TooLong(Exception):
    """A body above MAX_BYTES."""


class Failed(Exception):
    """There is no answer to a review; the text says why."""


class Webhook:
    """`settings` is asked at each review, since they change."""

    def __init__(
        self, settings: Callable[[], Settings], namespaces: Namespaces, events: Events, metrics: Metrics
    ) -> None:
        self._settings, self._namespaces = settings, namespaces
        self._events, self._metrics = events, metrics
        self._room = Room(ROOM_BYTES)

    def application(self) -> web.Application:
        application = web.Application()
        application.add_routes([web.post(PATH, self._serve)])
        return application

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        def leave() -> None:
            if request.transport is not None:
                request.transport.abort()

        with self._room.share(leave) as share:
            response = await self._respond(request, share)
            with suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()  # until it has left, it takes room
            return response

    async def _respond(self, request: web.Request, share: Share) -> web.Response:
        began_s = perf_counter()
        try:
            async with asyncio.timeout(BODY_S):
                body = await read_body(request.content, share)
            share.hold(weigh(body) - len(body))
            review = decode(body)
            answer = await self._review(review)
            share.hold(len(answer))
        except Malformed as error:
            return self._complain(400, f"{error}\n")
        except TimeoutError:
            return self._complain(408, "the body did not come in time\n")
        except TooLong:
            return self._complain(413, f"the body has more than {MAX_BYTES >> 20} MiB\n")
        except Full:
            return self._complain(503, "too much is under review\n")
        except _BROKEN:
            return self._complain(400, "the body broke off\n")
        except Failed as failed:
            return web.Response(status=500, text=f"{failed}\n")
        self._metrics.seconds.observe(perf_counter() - began_s)
        return web.Response(body=answer, content_type="application/json")

    async def _review(self, review: Review) -> bytes:
        """Raises Failed."""
        try:
            return encode(await self._answer(review))
        except (Denied, Lost) as error:
            raise self._fail("namespace", review, f"cannot read the namespace {review.namespace}: {error}") from None
        except Exception as bug:  # whatever it is, the API server is to hear of it in time
            log_bug(f"a review of a pod in {review.namespace} failed", bug)
            raise self._fail("bug", review, "the injector failed at this pod: its log says why") from None

    def _complain(self, status: int, text: str) -> web.Response:
        self._metrics.failed.labels("malformed").inc()
        response = web.Response(status=status, text=text)
        response.force_close()  # its body may not have been read
        return response

    def _fail(self, reason: str, review: Review, sentence: str) -> Failed:
        self._metrics.failed.labels(reason).inc()
        self._events.add(make_failure_note(review, sentence))
        return Failed(sentence)

    async def _answer(self, review: Review) -> Answer:
        if review.pod is None:
            return Answer(review.uid)
        outcome = await self._judge(review, review.pod)
        if not review.is_dry_run:
            self._count(outcome)
            self._events.add(make_note(review, outcome))
        return make_answer(review, outcome)

    async def _judge(self, review: Review, pod: dict[str, Any]) -> Outcome:
        """That nobody asked contradicts that we were called: then our knowledge of the namespace is of yesterday."""
        settings = self._settings()
        if review.namespace in settings.never:
            return judge(review, pod, NOTHING, settings)
        namespace = await self._namespaces.find(review.namespace)
        outcome = judge(review, pod, namespace, settings)
        if outcome.reason == NOT_ASKED:
            namespace = await self._namespaces.find(review.namespace, is_fresh=True)
            outcome = judge(review, pod, namespace, self._settings())
        return outcome

    def _count(self, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.INJECTED:
            self._metrics.injected.inc()
        elif outcome.verdict is Verdict.REFUSED:
            self._metrics.failed.labels("refused").inc()
        elif outcome.reason != ALREADY:
            self._metrics.skipped.labels(outcome.reason).inc()


async def read_body(content: StreamReader, share: Share) -> bytearray:
    """Raises TooLong, Full, or one of `_BROKEN`."""
    body = bytearray()  # one piece, which the kernel moves as it grows: small ones would leave holes in memory
    try:
        async for chunk in content.iter_any():
            share.hold(len(chunk))
            body += chunk
            if len(body) > MAX_BYTES:
                raise TooLong
    except BaseException:
        body.clear()  # what broke the connection is kept by it, with this frame: a circle that is collected much later
        raise
    return body
