"""`mesh controlplane`: the one place where all parts are put together, with its signals and its end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from random import Random
from time import monotonic
from typing import Final

import grpc
import uvloop

from controlplane.admin import Admin
from controlplane.ads.credentials import KeyPair, KeyPairError
from controlplane.ads.server import AdsServer, ServerSettings
from controlplane.discovery.refusals import Refusals
from controlplane.metrics import Metrics
from controlplane.options import Options, parse
from controlplane.sources.files import FilesSource
from controlplane.sources.kubernetes import KubernetesSource
from controlplane.sources.source import Source, SourceError
from controlplane.state import State
from mesh.log import log, log_bug, take_over_logging
from mesh.options import Address, OptionError

STALE_S: Final = 120.0  # a replica whose data are older than that has lost touch (DESIGN 4)
SPREAD_S: Final = 3.0  # over which the streams are ended at the end
_LOOK_S: Final = 0.5
_SYNC_LOOK_S: Final = 0.02


class ListenError(Exception):
    """A port cannot be had, which may be over soon."""


class ControlPlane:
    def __init__(
        self, options: Options, source: Source, settings: ServerSettings | None = None, stale_s: float = STALE_S
    ) -> None:
        self.options = options
        self.stale_s = stale_s
        self.source = source
        self.state = State(options.domain, lambda: source.synced, self._wake, self._fail)
        self.metrics = Metrics(self.state, source)
        self.server = AdsServer(self.state.exchange, self.metrics.observe, Random(), settings or ServerSettings())
        self.admin = Admin(self.state, self.metrics, self.unready_reason, self.problems)
        self.stop = asyncio.Event()
        self._refusals = Refusals()
        self._failure: BaseException | None = None
        self._is_serving = False
        self._is_stale = False

    def _wake(self, streams: object) -> None:
        self.server.sessions.wake(streams)  # type: ignore[arg-type]

    def _fail(self, bug: BaseException) -> None:
        """A fault after which nothing can be trusted: end, so that whoever started us does so again."""
        self._failure = bug
        self.stop.set()

    def problems(self) -> list[str]:
        """What is wrong with what is read, and what of it is left out."""
        return [*self.source.problems(), *self.state.graph.problems()]

    def unready_reason(self) -> str:
        """Where there is no better replica to go to, old data are served on: only `close` says that there is one."""
        if self.stop.is_set():
            return "going down"
        if not self._is_serving:
            return "the source has not been read yet"
        if self._is_stale and self.options.close_when_stale:
            return f"the source has not been heard for {self.source.staleness_s(monotonic()):.0f} s"
        return ""

    async def run(self) -> int:
        """Serve until told to stop. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        credentials = read_credentials(self.options)
        await self.source.open()
        xds, admin = await self._listen(credentials)
        log(f"serving xDS on {xds}, admin on {admin}")
        tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("the source", self.source.run(self.state.take)),
                ("the start", self._start()),
                ("the watch over the source", self._watch()),
            )
        ]
        for task in tasks:
            task.add_done_callback(self._look_at)
        await self.stop.wait()
        log("going down")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.state.close()
        await self.server.stop(0.0 if self._failure else SPREAD_S)
        await self.admin.stop()
        if self._failure is not None:
            log_bug("the control plane ends", self._failure)
            return 1
        log("stopped")
        return 0

    def _look_at(self, task: asyncio.Task[None]) -> None:
        """No task may end unnoticed; the source and the watch may not end at all."""
        if task.cancelled() or self.stop.is_set():
            return
        error = task.exception()
        if error is not None:
            self._fail(error)
        elif task.get_name() != "the start":
            self._fail(RuntimeError(f"{task.get_name()} has ended"))

    async def _listen(self, credentials: grpc.ServerCredentials | None) -> tuple[Address, Address]:
        check_free(self.options.xds)
        admin_port = await self._take_admin_port()
        try:
            port = self.server.listen(str(self.options.xds), credentials)
        except RuntimeError:
            raise ListenError(
                f"--xds {self.options.xds} cannot be listened on; is it an address of this host?"
            ) from None
        await self.server.start()
        return self.options.xds._replace(port=port), self.options.admin._replace(port=admin_port)

    async def _take_admin_port(self) -> int:
        try:
            return await self.admin.start(self.options.admin)
        except OSError as error:
            raise ListenError(explain_bind("--admin", self.options.admin, error)) from None

    async def _start(self) -> None:
        """Serve as soon as everything has been read."""
        began = monotonic()
        while not self.state.synced.is_set():
            await asyncio.sleep(_SYNC_LOOK_S)
            if self.source.synced:
                self.state.schedule()
        # What lives now lives for long: later collections need not look at it.
        gc.collect()
        gc.freeze()
        self.server.admit()
        await self.server.set_health(True)
        self._is_serving = True
        mesh = self.state.mesh
        log(f"ready after {monotonic() - began:.1f} s: {len(mesh.targets)} targets")

    async def _watch(self) -> None:
        """Say what clients refuse, and when the data are stale. The source says itself what is wrong with it."""
        while True:
            self._log_nacks()
            if self._is_serving:
                await self._judge_staleness()
            await asyncio.sleep(_LOOK_S)

    def _log_nacks(self) -> None:
        exchange = self.state.exchange
        for line in self._refusals.lines(exchange.new_nacks, exchange.nacks_total.total(), monotonic()):
            log(line)
        exchange.new_nacks.clear()

    async def _judge_staleness(self) -> None:
        is_stale = self.source.staleness_s(monotonic()) > self.stale_s
        if is_stale == self._is_stale:
            return
        self._is_stale = is_stale
        await self.server.set_health(not (is_stale and self.options.close_when_stale))
        if not is_stale:
            log("the source is heard again")
            self.server.accept()
        elif self.options.close_when_stale:
            log(f"the source has not been heard for {self.stale_s:g} s: streams are closed")
            self.server.refuse("this replica has lost touch with its source; try another")
        else:
            log(f"the source has not been heard for {self.stale_s:g} s: what is known is served on")


def make_source(options: Options) -> Source:
    if options.directory is not None:
        return FilesSource(options.directory)
    return KubernetesSource(options.kubeconfig, options.namespace)


def read_credentials(options: Options) -> grpc.ServerCredentials | None:
    if options.tls_cert is None or options.tls_key is None:
        return None
    try:
        return KeyPair(options.tls_cert, options.tls_key).credentials()
    except KeyPairError as error:
        raise OptionError(str(error)) from None


def check_free(address: Address) -> None:
    """gRPC does not say why it cannot have a port."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen(1)
    except OSError as error:
        raise ListenError(explain_bind("--xds", address, error)) from None


def explain_bind(option: str, address: Address, error: OSError) -> str:
    is_name = isinstance(error, socket.gaierror)
    reason = error.strerror if is_name or error.errno is None else os.strerror(error.errno)
    return f"{option} {address} cannot be listened on: {reason}; give another HOST:PORT"


async def run(options: Options) -> int:
    return await ControlPlane(options, make_source(options)).run()


def main(argv: list[str]) -> int:
    take_over_logging("controlplane")
    try:
        return uvloop.run(run(parse(argv)))
    except (ListenError, OptionError, SourceError) as error:
        sys.stderr.write(f"mesh controlplane: {error}\n")
        return 1 if isinstance(error, ListenError) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
