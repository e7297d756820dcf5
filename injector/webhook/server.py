"""POST /mutate: a review in, its answer out. A bug of ours is a 500: then the failure policy decides, not we."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from aiohttp import web

from injector.api.access import Denied, Lost
from injector.metrics import Metrics
from injector.patch import Outcome, Settings, Verdict
from injector.webhook.events import Events
from injector.webhook.judgement import ALREADY, NOT_ASKED, judge, make_answer, make_failure_note, make_note
from injector.webhook.namespaces import Namespaces
from injector.webhook.review import MAX_BYTES, Answer, Malformed, Review, decode, encode
from mesh.log import log_bug

PATH: Final = "/mutate"
_BODY_S: Final = 10.0  # longer than that no API server waits


class Webhook:
    """`settings` is asked at each review, since they change."""

    def __init__(
        self, settings: Callable[[], Settings], namespaces: Namespaces, events: Events, metrics: Metrics
    ) -> None:
        self._settings, self._namespaces = settings, namespaces
        self._events, self._metrics = events, metrics

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BYTES)
        application.add_routes([web.post(PATH, self._serve)])
        return application

    async def _serve(self, request: web.Request) -> web.Response:
        began_s = perf_counter()
        try:
            async with asyncio.timeout(_BODY_S):
                review = decode(await request.read())
        except Malformed as error:
            return self._complain(400, f"{error}\n")
        except TimeoutError:
            return self._complain(408, "the body did not come in time\n")
        except web.HTTPRequestEntityTooLarge:
            return self._complain(413, f"the body has more than {MAX_BYTES >> 20} MiB\n")
        try:
            answer = encode(await self._answer(review))
        except (Denied, Lost) as error:
            return self._fail("namespace", review, f"cannot read the namespace {review.namespace}: {error}")
        except Exception as bug:  # whatever it is, the API server is to hear of it in time
            log_bug(f"a review of a pod in {review.namespace} failed", bug)
            return self._fail("bug", review, "the injector failed at this pod: its log says why")
        self._metrics.seconds.observe(perf_counter() - began_s)
        return web.Response(body=answer, content_type="application/json")

    def _complain(self, status: int, text: str) -> web.Response:
        self._metrics.failed.labels("malformed").inc()
        return web.Response(status=status, text=text)

    def _fail(self, reason: str, review: Review, sentence: str) -> web.Response:
        self._metrics.failed.labels(reason).inc()
        self._events.add(make_failure_note(review, sentence))
        return web.Response(status=500, text=f"{sentence}\n")

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
        namespace = await self._namespaces.find(review.namespace)
        outcome = judge(review, pod, namespace, self._settings())
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
