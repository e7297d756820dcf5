"""`mesh proxy`: signals, reloads, and the one place where all parts of the sidecar are put together."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import signal
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import uvloop

from mesh.version import VERSION
from proxy.admin import Admin
from proxy.arguments import parse
from proxy.codec import connection
from proxy.config import from_arguments, load, load_settings, with_settings, without_clusters
from proxy.errors import ConfigError, ListenError
from proxy.life import Door, Drain, Life, Siblings, Worker, read_life
from proxy.metrics.process import add_process_metrics
from proxy.metrics.registry import Registry
from proxy.net.descriptors import prepare_descriptors, watch_descriptors
from proxy.net.log import log, log_bug, log_unhandled
from proxy.outbound import Outbound
from proxy.route.model import OPAQUE, PROTOCOLS, Address, ProxyConfig, join_host_port
from proxy.traffic import Direction, keep_time
from proxy.workers import SIGNALS, run_workers

if TYPE_CHECKING:
    from proxy.admin.health import ApplicationHealth
    from proxy.inbound import Inbound
    from proxy.membership import Member, Membership

_WATCH_S = 1.0


def read_config(arguments: argparse.Namespace) -> ProxyConfig:
    if is_told(arguments):
        config = without_clusters(arguments.listen or f"127.0.0.1:{arguments.outbound_port}", arguments.admin)
        if arguments.config:
            config = replace(config, settings=load_settings(arguments.config))
    elif arguments.config:
        return load(arguments.config)
    else:
        protocol = PROTOCOLS.get(arguments.protocol, "")
        config = from_arguments(arguments.listen, ",".join(arguments.to), arguments.admin, protocol)
    return with_settings(config, arguments.set)


def is_told(arguments: argparse.Namespace) -> bool:
    """Whether a control plane, or what the pod calls, says where requests go; then a file has settings alone."""
    return bool(arguments.control_plane or arguments.intercept)


def find_membership(arguments: argparse.Namespace) -> Membership | None:
    """Which mesh this is a part of. A proxy that is of none does not import, and pay for, what only a sidecar needs."""
    if not arguments.control_plane:
        return None
    from proxy.membership import read_membership

    return read_membership(arguments, os.environ)


def make_member(membership: Membership | None, rng: random.Random, worker: int) -> Member | None:
    if membership is None:
        return None
    from proxy.membership import Member

    return Member(membership, rng.random, worker)


def make_health(life: Life) -> ApplicationHealth | None:
    if not life.probes:
        return None
    from proxy.admin.health import ApplicationHealth

    return ApplicationHealth(life.probes, life.pod_ip)


class Proxy:
    """One worker: its outbound direction, its admin port, its signals."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        config: ProxyConfig,
        membership: Membership | None,
        life: Life,
        siblings: Siblings,
        worker: int,
    ) -> None:
        self.arguments = arguments
        self.worker = worker
        self.config = config
        self.registry = Registry()
        add_process_metrics(self.registry, VERSION, "compiled" if is_compiled() else "python")
        rng = random.Random()
        self.member = make_member(membership, rng, worker)
        self.outbound = Outbound(config, self.registry, rng, None if self.member is None else self.member.connect)
        self.changed = asyncio.Event()
        self.inbound: Inbound | None = None
        if arguments.intercept:
            self._intercept(rng)
        elif is_raw(config):
            self._share_out()
        self.drain = Drain(self._doors(), life, lambda: self.config.settings.drain_timeout_s, log)
        self.crew = Worker(siblings, worker, self.drain)
        self.admin = Admin(
            self._unready_reason,
            self.registry.exposition,
            self._describe,
            self.crew.shut_down,
            self.crew.leave,
            make_health(life),
        )
        if self.member is not None and self.outbound.destinations is not None:
            self.member.add_metrics(self.registry, self.outbound.destinations)

    def _intercept(self, rng: random.Random) -> None:
        """Serve what `mesh proxy init` leads here."""
        from proxy.inbound import Inbound  # with HTTP/1 and raw TCP: others do not pay for them
        from proxy.metrics.connections import ConnectionCounts
        from proxy.route.hints import OPAQUE_PORTS

        ports = own_ports(self.arguments, self.config)
        counts = ConnectionCounts(self.registry)
        self.outbound.intercept(ports, counts)
        opaque_ports = self.arguments.opaque_ports
        if opaque_ports is None:
            opaque_ports = OPAQUE_PORTS
        self.inbound = Inbound(self.config.settings, self.registry, rng, ports, counts, opaque_ports)

    def _share_out(self) -> None:
        from proxy.metrics.connections import ConnectionCounts

        self.outbound.share_out(ConnectionCounts(self.registry))

    def _doors(self) -> list[Door]:
        """Those who call a proxy that is a part of no mesh are others than its own application."""
        outbound = self.outbound.traffic
        is_shared = self.member is None and self.inbound is None
        doors = [Door("outbound", is_shared, outbound.count, outbound.drain)]
        if self.inbound is not None:
            inbound = self.inbound.traffic
            doors.append(Door("inbound", True, inbound.count, inbound.drain, inbound.clusters.leave))
        return doors

    def _directions(self) -> list[Direction]:
        return [self.outbound] if self.inbound is None else [self.outbound, self.inbound]

    def _describe(self) -> object:
        destinations = self.outbound.destinations
        if self.member is None or destinations is None:
            return self.config
        return self.member.describe(self.config, destinations)

    def _unready_reason(self) -> str:
        return "draining" if self.drain.begun else self.outbound.unready_reason()

    async def run(self) -> int:
        """Serve until told to stop, then drain. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain.stop)
        loop.add_signal_handler(signal.SIGHUP, self.changed.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        loop.set_exception_handler(log_unhandled)
        self.crew.listen()
        try:
            await self._listen()
        except ListenError as error:
            log(str(error))
            return 1
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(keep_time(self._directions(), self.registry)),
                group.create_task(self._serve()),
                group.create_task(watch_descriptors()),
            ]
            if self.member is not None:
                tasks.append(group.create_task(self.member.control.run()))
            if self.arguments.config:
                tasks += [group.create_task(self._reload()), group.create_task(self._watch())]
            drained = await self.drain.run()
            for task in tasks:
                task.cancel()
        self.outbound.traffic.close()
        if self.inbound is not None:
            self.inbound.traffic.close()
        if not drained:
            log("ended at once, as it was told to twice")
            return 1
        await self.admin.stop()
        log("stopped")
        return 0

    async def _listen(self) -> None:
        addresses = self._listen_intercepted()
        listen = self.config.listen
        try:
            if self.arguments.listen or not self.arguments.intercept:
                addresses += await self._listen_here(listen)
        except OSError as error:
            raise ListenError(str(listen), error) from None
        if self.config.admin is not None:
            # Each worker has its own figures, so its own admin port.
            admin = self.config.admin
            await self.admin.start(Address(admin.host, admin.port + self.worker if admin.port else 0))
        log("listening on " + ", ".join(join_host_port(host, port) for host, port in addresses))

    async def _listen_here(self, listen: Address) -> list[tuple[str, int]]:
        """For clients that know of us."""
        traffic = self.outbound.traffic
        is_shared = self.arguments.workers > 1
        if self.inbound is not None or traffic.interception is None:
            return await traffic.listener.listen(listen.host, listen.port, is_shared)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)
        hosts = dict.fromkeys(str(address[0]) for *_, address in found)
        return traffic.interception.listen(tuple(hosts), listen.port, is_shared)

    def _listen_intercepted(self) -> list[tuple[str, int]]:
        """Outbound for this pod alone; inbound for whoever calls it, as iptables leads both to us."""
        addresses: list[tuple[str, int]] = []
        if self.inbound is None or self.outbound.traffic.interception is None:
            return addresses
        for interception, hosts, port in (
            (self.outbound.traffic.interception, ("127.0.0.1", "::1"), self.arguments.outbound_port),
            (self.inbound.interception, ("0.0.0.0", "::"), self.arguments.inbound_port),
        ):
            try:
                addresses += interception.listen(hosts, port, self.arguments.workers > 1)
            except OSError as error:
                raise ListenError(str(Address(hosts[0], port)), error) from None
        return addresses

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
                self._put_into_force(await asyncio.to_thread(read_config, self.arguments))
            except ConfigError as error:
                log(f"the configuration in force is kept: {error}")
            except (MemoryError, RecursionError) as error:
                log(f"the configuration in force is kept: too large a file ({type(error).__name__})")
            except Exception as bug:  # The next reload may mend it.
                log_bug("a reload", bug)

    def _put_into_force(self, config: ProxyConfig) -> None:
        fixed = [name for name in ("listen", "admin") if getattr(config, name) != getattr(self.config, name)]
        config = replace(config, listen=self.config.listen, admin=self.config.admin)
        if is_told(self.arguments):
            for direction in self._directions():
                direction.traffic.configure(config.settings)
        else:
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


def own_ports(arguments: argparse.Namespace, config: ProxyConfig) -> frozenset[int]:
    """Where this proxy, with all its workers, listens in a pod."""
    ports = {arguments.outbound_port, arguments.inbound_port}
    if config.admin is not None and config.admin.port:
        ports.update(range(config.admin.port, config.admin.port + arguments.workers))
    return frozenset(ports)


def is_raw(config: ProxyConfig) -> bool:
    return any(cluster.protocol == OPAQUE for cluster in config.clusters)


def is_compiled() -> bool:
    return not str(connection.__file__).endswith(".py")


def stamp(path: str) -> tuple[int, int, int] | None:
    """What changes when a file does; None while there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


async def run(
    arguments: argparse.Namespace,
    config: ProxyConfig,
    membership: Membership | None,
    life: Life,
    siblings: Siblings,
    worker: int,
) -> int:
    return await Proxy(arguments, config, membership, life, siblings, worker).run()


def main(argv: list[str]) -> int:
    arguments = parse(argv)
    try:
        config = read_config(arguments)
        membership = find_membership(arguments)
        life = read_life(os.environ)
    except ConfigError as error:
        print(f"mesh proxy: {error}", file=sys.stderr)
        return 2
    siblings = Siblings(arguments.workers)

    def work(worker: int) -> int:
        prepare_descriptors()
        return uvloop.run(run(arguments, config, membership, life, siblings, worker))

    return run_workers(arguments.workers, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
