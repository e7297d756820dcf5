"""`mesh injector`: the one place where all parts are put together, with its signals and its end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

import uvloop

from injector.admin import make_admin
from injector.api.access import Access
from injector.certificate.bundle import Bundle
from injector.certificate.course import Terms
from injector.certificate.files import FileError, FileKeeper
from injector.certificate.keeper import Keeper
from injector.certificate.secret import SecretStore
from injector.certificate.served import Served
from injector.configuration import Configuration, SettingsError
from injector.metrics import CertificateMetrics, Metrics
from injector.options import Options, parse
from injector.site import Site
from injector.webhook.clients import require_clients
from injector.webhook.events import Events
from injector.webhook.namespaces import Namespaces
from injector.webhook.room import give_freed_memory_back
from injector.webhook.server import Webhook
from mesh.access import AccessError
from mesh.log import log, log_bug, take_over_logging
from mesh.options import Address, OptionError

CONNECTIONS_MAX: Final = 200  # an API server has no more requests that change something under way
_ADMIN_CONNECTIONS_MAX: Final = 64
_AGAIN_S: Final = 5.0


class ListenError(Exception):
    """A port cannot be had, which may be over soon."""


class Injector:
    """`listening` and `admin_listening` are the addresses, once they are had."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.stop = asyncio.Event()
        self.listening = self.admin_listening = Address("", 0)
        self.access = Access(options.kubeconfig)
        self.configuration = Configuration(options.settings, options.config, options.namespace)
        self.namespaces = Namespaces(self.access, Random())
        self.events = Events(self.access, os.environ.get("GOSSAMER_POD") or socket.gethostname())
        self.served = Served()
        self.keeper = make_keeper(options, self.access, self.served)
        self.metrics = Metrics()
        if options.client_ca is not None:
            require_clients(self.served.context, options.client_ca)
        webhook = Webhook(lambda: self.configuration.settings, self.namespaces, self.events, self.metrics)
        self._webhook = Site(webhook.application(), CONNECTIONS_MAX, self.served.context)
        self._admin = Site(make_admin(self.metrics, self.unready_reason), _ADMIN_CONNECTIONS_MAX)
        self._describe_certificate()

    def _describe_certificate(self) -> None:
        self.metrics.registry.register(
            CertificateMetrics(
                not_after=lambda: self.keeper.not_after,
                rotations=lambda: self.keeper.rotations,
                is_ready=lambda: not self.unready_reason(),
                dropped=lambda: self.events.ledger.dropped,
                namespaces=lambda: len(self.namespaces),
            )
        )

    def unready_reason(self) -> str:
        """Namespaces need not be known: those that are not are asked for."""
        return "going down" if self.stop.is_set() else self.keeper.unready_reason()

    async def run(self) -> int:
        """Serve until told to stop. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        self.configuration.open()
        if isinstance(self.keeper, FileKeeper):
            self.keeper.open()
        await self.access.open()
        try:
            await self._listen()
            await self._serve()
        finally:
            await self._webhook.stop()
            await self._admin.stop()
            await self.access.close()
        log("stopped")
        return 0

    async def _listen(self) -> None:
        self.admin_listening = await listen("--admin", self._admin, self.options.admin)
        self.listening = await listen("--listen", self._webhook, self.options.listen)
        log(f"serving reviews on {self.listening}, admin on {self.admin_listening}")

    async def _serve(self) -> None:
        works = {
            "the certificate": self.keeper.run,
            "namespaces": self.namespaces.run,
            "Events": self.events.run,
            "the settings": self.configuration.follow_file,
            "the version": lambda: self.configuration.follow_version(self.access),
        }
        tasks = [asyncio.create_task(keep_running(name, work), name=name) for name, work in works.items()]
        tasks.append(asyncio.create_task(self._announce()))
        await self.stop.wait()
        log("going down")
        self._webhook.leave()
        await asyncio.sleep(self.options.drain_s)  # until no API server sends reviews here any more
        await self._webhook.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.events.flush(is_last=True)

    async def _announce(self) -> None:
        while self.unready_reason():  # noqa: ASYNC110 - it is asked for, as the kubelet does
            await asyncio.sleep(0.05)
        gc.collect()
        gc.freeze()  # what lives now lives for long: later collections need not look at it
        log("ready")


def make_keeper(options: Options, access: Access, served: Served) -> Keeper | FileKeeper:
    bundle = Bundle(access, options.webhook)
    if options.tls_cert is not None and options.tls_key is not None:
        theirs = bundle if options.ca_bundle else None
        return FileKeeper(options.tls_cert, options.tls_key, served, theirs, options.ca_bundle)
    secret = SecretStore(access, options.namespace, options.secret)
    return Keeper(access, secret, bundle, options.names, Terms(options.lifetime_s), served)


async def keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """A bug beside the path of reviews must not end them."""
    while True:
        try:
            await work()
        except Exception as bug:
            log_bug(f"{name} failed, and begins anew", bug)
            await asyncio.sleep(_AGAIN_S)


async def listen(option: str, site: Site, address: Address) -> Address:
    try:
        return address._replace(port=await site.start(address))
    except OSError as error:
        is_name = isinstance(error, socket.gaierror)
        reason = error.strerror if is_name or error.errno is None else os.strerror(error.errno)
        raise ListenError(f"{option} {address} cannot be listened on: {reason}; give another HOST:PORT") from None


async def run(options: Options) -> int:
    return await Injector(options).run()


def main(argv: list[str]) -> int:
    take_over_logging("injector")
    give_freed_memory_back()
    try:
        return uvloop.run(run(parse(argv)))
    except (AccessError, FileError, ListenError, OptionError, SettingsError) as error:
        sys.stderr.write(f"mesh injector: {error}\n")
        return 1 if isinstance(error, ListenError) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
