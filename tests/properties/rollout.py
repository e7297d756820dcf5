"""A small cluster that lives: pods come, get ready, end and are replaced, and a controller writes slices behind them.

It yields what three watches (Services, EndpointSlices, Pods) would each deliver, in order; how they interleave is the
test's to choose. What is true in the end is worked out here, from the pods alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from controlplane.model.objects import (
    PODS,
    SERVICES,
    SLICES,
    Pod,
    Service,
    ServicePort,
    Slice,
    SliceEndpoint,
    SlicePort,
)
from controlplane.model.snapshot import Change

NAMES = ("p0", "p1", "p2")
WEB = Service(
    "shop",
    "web",
    cluster_ips=("10.96.0.1",),
    ip_families=("IPv4", "IPv6"),
    ports=(ServicePort("", 80, app_protocol="grpc"),),
)
DB = Service("shop", "db", headless=True, ports=(ServicePort("", 80, app_protocol="tcp"),))
OPERATIONS = (
    "run",
    "run",
    "create",
    "start",
    "ready",
    "unready",
    "terminate",
    "finish",
    "delete",
    "move",
    "copy",
    "sync",
    "sync6",
)
FINAL = ("sync", "sync6")


@dataclass
class Cluster:
    """The truth. `watches` are the events so far, by kind."""

    pods: dict[str, Pod] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)  # UIDs
    homes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # in which slices a pod is, by its name
    slices: dict[str, Slice] = field(default_factory=dict)
    born: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)  # by UID: name and addresses
    watches: dict[str, list[Change]] = field(default_factory=lambda: {SERVICES: [], SLICES: [], PODS: []})

    def do(self, operation: str, name: str) -> None:
        pod = self.pods.get(name)
        if operation == "run":
            for step in ("create", "start", "ready"):
                self.do(step, name)
        elif operation in FINAL:
            self._sync("IPv6" if operation == "sync6" else "IPv4")
        elif operation == "create":
            if pod is None:
                uid = f"u{len(self.born)}"
                self.born[uid] = name, ()
                self._put(Pod("shop", name, uid, workload_kind="deployment", workload=uid, opaque_ports=uid[1:]))
        elif pod is not None:
            getattr(self, f"_{operation}")(pod)

    def toggle(self, service: Service) -> None:
        watch = self.watches[SERVICES]
        exists = any(change.now for change in watch[-1:]) if service is WEB else False
        watch.append(Change(SERVICES, service.key, None if exists else service))

    def serving(self) -> dict[str, str]:
        """From the address to the UID of all who should get requests when everything has been heard."""
        running = [pod for pod in self.pods.values() if pod.ips and not pod.finished and pod.uid in self.ready]
        steady = [pod for pod in running if not pod.terminating]
        return {pod.ips[0]: pod.uid for pod in steady or running}

    def _put(self, pod: Pod) -> None:
        self.pods[pod.name] = pod
        self.watches[PODS].append(Change(PODS, pod.key, pod))

    def _start(self, pod: Pod) -> None:
        taken = {other.ips[0] for other in self.pods.values() if other.ips and not other.finished}
        free = [number for number in range(1, 4) if f"10.0.0.{number}" not in taken]
        if not pod.ips and free:
            ips = f"10.0.0.{free[0]}", f"fd00::{free[0]}"
            self.born[pod.uid] = pod.name, ips
            self._put(replace(pod, ips=ips))

    def _ready(self, pod: Pod) -> None:
        if pod.ips:
            self.ready.add(pod.uid)

    def _unready(self, pod: Pod) -> None:
        self.ready.discard(pod.uid)

    def _terminate(self, pod: Pod) -> None:
        self._put(replace(pod, terminating=True))

    def _finish(self, pod: Pod) -> None:
        self._put(replace(pod, finished=True))

    def _delete(self, pod: Pod) -> None:
        del self.pods[pod.name]
        self.watches[PODS].append(Change(PODS, pod.key, None))

    def _move(self, pod: Pod) -> None:
        self.homes[pod.name] = ("two",) if self.homes.get(pod.name, ("one",)) == ("one",) else ("one",)

    def _copy(self, pod: Pod) -> None:
        self.homes[pod.name] = ("one", "two")

    def _sync(self, family: str) -> None:
        """What the EndpointSlice controller does, for both Services; it may write one slice without the other."""
        for service in (WEB, DB):
            for home in ("one", "two"):
                members = [pod for pod in self.pods.values() if home in self.homes.get(pod.name, ("one",))]
                endpoints = tuple([self._endpoint(pod, family) for pod in members if pod.ips and not pod.finished])
                name = f"{service.name}-{home}-{family.lower()}"
                now = Slice("shop", name, service.name, family, (SlicePort("", 8080),), endpoints)
                if endpoints and self.slices.get(name) != now:
                    self.slices[name] = now
                    self.watches[SLICES].append(Change(SLICES, now.key, now))
                elif not endpoints and self.slices.pop(name, None):
                    self.watches[SLICES].append(Change(SLICES, now.key, None))

    def _endpoint(self, pod: Pod, family: str) -> SliceEndpoint:
        serving = pod.uid in self.ready
        return SliceEndpoint(
            pod.ips[1 if family == "IPv6" else 0],
            serving and not pod.terminating,
            serving,
            pod.terminating,
            hostname=pod.name,
            pod=pod.key,
            pod_uid=pod.uid,
        )
