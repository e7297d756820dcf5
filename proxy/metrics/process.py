"""What the kernel knows about this process, under the names that every Prometheus client library uses.

Read from /proc at scrape. Where there is no /proc (a laptop with macOS), these samples are missing and nothing else is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from proxy.metrics.families import Samples
from proxy.metrics.registry import Registry

STAT_AFTER_NAME = 2  # fields of /proc/PID/stat are counted from 1; the first two end at the name's closing parenthesis


def add_process_metrics(registry: Registry, version: str, codec: str) -> None:
    """Register the process's families; `codec` is `compiled` or `python`."""
    build = (("version", version), ("codec", codec))
    registry.gauge("gossamer_build_info", "Always 1; the labels tell what runs.", lambda: [(build, 1)])
    registry.gauge("process_cpu_seconds_total", "CPU time used, in seconds.", cpu_seconds, "counter")
    for name, help, read in (
        ("process_resident_memory_bytes", "Memory in use.", resident_bytes),
        ("process_resident_anon_bytes", "Memory in use that is not shared with a file.", anonymous_bytes),
        ("process_virtual_memory_bytes", "Address space in use.", virtual_bytes),
        ("process_start_time_seconds", "When the process started, in Unix time.", start_time_seconds),
        ("process_open_fds", "Open file descriptors.", open_fds),
        ("process_max_fds", "Largest possible number of open file descriptors.", max_fds),
    ):
        registry.gauge(name, help, available(read))


def available(read: Callable[[], float]) -> Callable[[], Samples]:
    """Make a gauge of one number, without a sample where the number cannot be had."""

    def collect() -> Samples:
        try:
            return [((), read())]
        except OSError:
            return []

    return collect


def cpu_seconds() -> Samples:
    return [((), time.process_time())]


def read_statm(field: int) -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[field]) * os.sysconf("SC_PAGE_SIZE")


def virtual_bytes() -> int:
    return read_statm(0)


def resident_bytes() -> int:
    return read_statm(1)


def anonymous_bytes() -> int:
    return read_statm(1) - read_statm(2)


def start_time_seconds() -> float:
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    with open("/proc/uptime", "rb") as file:
        uptime_s = float(file.read().split()[0])
    started_s = int(fields[21 - STAT_AFTER_NAME]) / os.sysconf("SC_CLK_TCK")
    return round(time.time() - uptime_s + started_s, 1)


def open_fds() -> int:
    # Since Linux 6.2 the directory's size is the number of its entries; listing 10,000 would take milliseconds.
    return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")) - 1


def max_fds() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
