"""`mesh proxy`: arguments, signals, and the one place where all parts of the sidecar are put together."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import signal
import sys
from dataclasses import replace

import uvloop

from mesh.version import VERSION
from proxy.admin import Admin
from proxy.codec import connection
from proxy.config import from_arguments, load
from proxy.errors import ConfigError, ListenError
from proxy.metrics.process import add_process_metrics
from proxy.metrics.registry import Registry
from proxy.net.log import log, log_bug
from proxy.outbound import Outbound
from proxy.route.model import Address, ProxyConfig, join_host_port
from proxy.workers import run_workers

_WATCH_S = 1.0
_EPILOG = """\
examples:
  mesh proxy --listen 127.0.0.1:4140 --to 127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003
  mesh proxy --config proxy.yaml

Every request (gRPC or any HTTP/2 without TLS) is given to the endpoint that answers fastest (peak EWMA of latency,
power of two choices). SIGHUP, or a changed file, puts the configuration into force anew without dropping a request.
SIGTERM lets requests finish, up to the drain timeout. Exit codes: 0 after a drain, 1 if the proxy failed, 2 for wrong
usage.
"""


class Once(argparse.Action):
    """Take a value, and refuse a second one: argparse alone would drop the first in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mesh proxy",
        description="Balance every HTTP/2 request over a set of endpoints.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", action=Once, help="YAML file with clusters and routes (docs/proxy-config.md)"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", action=Once, help="where to accept connections")
    parser.add_argument(
        "--to",
        metavar="HOST:PORT,...",
        action="append",
        help="the endpoints to balance over, commas between them; may be repeated; names are re-resolved",
    )
    parser.add_argument(
        "--admin", metavar="HOST:PORT", action=Once, help="serve /live /ready /metrics /config /shutdown here"
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=1,
        help="processes that share the port (default 1); worker i has its admin port at PORT+i",
    )
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        parser.error(f"unrecognized: {' '.join(rest)} (endpoints are separated by a comma without a space)")
    if arguments.config and (arguments.listen or arguments.to or arguments.admin):
        parser.error("--config stands alone: give listen, admin and endpoints in the file")
    if not arguments.config and not (arguments.listen and arguments.to):
        parser.error("give --config FILE, or --listen HOST:PORT and --to HOST:PORT,...")
    if not 1 <= arguments.workers <= 64:
        parser.error("--workers is a number from 1 to 64")
    return arguments


def read_config(arguments: argparse.Namespace) -> ProxyConfig:
    if arguments.config:
        return load(arguments.config)
    return from_arguments(arguments.listen, ",".join(arguments.to), arguments.admin)


class Proxy:
    """One worker: its outbound direction, its admin port, its signals."""

    def __init__(self, arguments: argparse.Namespace, config: ProxyConfig, worker: int) -> None:
        self.arguments = arguments
        self.worker = worker
        self.config = config
        self.registry = Registry()
        add_process_metrics(self.registry, VERSION, "compiled" if is_compiled() else "python")
        self.outbound = Outbound(config, self.registry, random.Random())
        self.stop = asyncio.Event()
        self.changed = asyncio.Event()
        self.draining = False
        self.admin = Admin(self._unready_reason, self.registry.exposition, lambda: self.config, self.stop.set)

    def _unready_reason(self) -> str:
        return "draining" if self.draining else self.outbound.unready_reason()

    async def run(self) -> int:
        """Serve until told to stop, then drain. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.changed.set)
        try:
            await self._listen()
        except ListenError as error:
            log(str(error))
            return 1
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.outbound.sweep()), group.create_task(self._serve())]
            if self.arguments.config:
                tasks += [group.create_task(self._reload()), group.create_task(self._watch())]
            await self.stop.wait()
            self.draining = True
            log("draining")
            await self.outbound.listener.drain(self.config.settings.drain_timeout_s)
            for task in tasks:
                task.cancel()
        self.outbound.pool.close()
        await self.admin.stop()
        log("stopped")
        return 0

    async def _listen(self) -> None:
        listen = self.config.listen
        try:
            addresses = await self.outbound.listener.listen(listen.host, listen.port, self.arguments.workers > 1)
        except OSError as error:
            raise ListenError(str(listen), error) from None
        if self.config.admin is not None:
            # Each worker has its own figures, so its own admin port.
            admin = self.config.admin
            await self.admin.start(Address(admin.host, admin.port + self.worker if admin.port else 0))
        log("listening on " + ", ".join(join_host_port(host, port) for host, port in addresses))

    async def _serve(self) -> None:
        self.outbound.apply(self.config)
        # What lives now lives for ever: later collections need not look at it (12 ms with 10,000 connections).
        gc.collect()
        gc.freeze()
        await self.outbound.refresh_names()

    async def _reload(self) -> None:
        while True:
            await self.changed.wait()
            self.changed.clear()
            try:
                self._put_into_force(await asyncio.to_thread(load, self.arguments.config))
            except ConfigError as error:
                log(f"the configuration in force is kept: {error}")
            except (MemoryError, RecursionError) as error:
                log(f"the configuration in force is kept: too large a file ({type(error).__name__})")
            except Exception as bug:  # The next reload may mend it.
                log_bug("a reload", bug)

    def _put_into_force(self, config: ProxyConfig) -> None:
        fixed = [name for name in ("listen", "admin") if getattr(config, name) != getattr(self.config, name)]
        config = replace(config, listen=self.config.listen, admin=self.config.admin)
        self.outbound.apply(config)
        self.config = config
        later = f"; {' and '.join(fixed)} changed in the file, which takes a restart" if fixed else ""
        log(f"configuration reloaded{later}")

    async def _watch(self) -> None:
        """Reload when the file changes; also when it is a link whose target changes, as in a ConfigMap volume."""
        before = stamp(self.arguments.config)
        while True:
            await asyncio.sleep(_WATCH_S)
            now = stamp(self.arguments.config)
            if now != before and now is not None:
                self.changed.set()
            before = now


def is_compiled() -> bool:
    return not str(connection.__file__).endswith(".py")


def stamp(path: str) -> tuple[int, int, int] | None:
    """What changes when a file does; None while there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


async def run(arguments: argparse.Namespace, config: ProxyConfig, worker: int) -> int:
    return await Proxy(arguments, config, worker).run()


def main(argv: list[str]) -> int:
    arguments = parse(argv)
    try:
        config = read_config(arguments)
    except ConfigError as error:
        print(f"mesh proxy: {error}", file=sys.stderr)
        return 2
    return run_workers(arguments.workers, lambda worker: uvloop.run(run(arguments, config, worker)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
