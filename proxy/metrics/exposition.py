"""The text format that Prometheus scrapes (version 0.0.4), written from the handles.

Written here, since importing prometheus-client costs 4.4 MB in every pod (it brings `http.server`, `urllib`, `email`),
and the format is five kinds of line; the tests read all of it with prometheus-client's parser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from proxy.metrics.families import Counters, Gauge, Samples
from proxy.metrics.handles import LATENCY_BOUNDS_MS, HttpMetrics, TcpMetrics, outcome_labels
from proxy.metrics.labels import Labels, encode_labels

CHUNK_CHARS = 16_384

LATENCY = "response_latency_ms"
HTTP_FAMILIES: tuple[tuple[str, str, Callable[[HttpMetrics], Samples]], ...] = (
    ("request_total", "Requests that began.", lambda handle: [((), handle.requests)]),
    (
        "response_total",
        "Requests that ended, by how.",
        lambda handle: [(outcome_labels(outcome), count) for outcome, count in list(handle.responses.items())],
    ),
)
TCP_FAMILIES: tuple[tuple[str, str, str, Callable[[TcpMetrics], Samples]], ...] = (
    ("tcp_open_total", "counter", "Connections opened.", lambda handle: [((), handle.opened)]),
    ("tcp_open_connections", "gauge", "Connections now open.", lambda handle: [((), handle.open_connections())]),
    (
        "tcp_close_total",
        "counter",
        "Connections closed, by error.",
        lambda handle: [((("errno", name),), count) for name, count in list(handle.closed.items())],
    ),
    ("tcp_read_bytes_total", "counter", "Bytes read from peers.", lambda handle: [((), handle.read_bytes)]),
    ("tcp_write_bytes_total", "counter", "Bytes written to peers.", lambda handle: [((), handle.write_bytes)]),
)


def encode(
    https: list[HttpMetrics], tcps: list[TcpMetrics], counters: list[Counters], gauges: list[Gauge]
) -> Iterator[bytes]:
    """Write everything, in pieces of about `CHUNK_CHARS`."""
    chunk: list[str] = []
    size = 0
    for text in encode_families(https, tcps, counters, gauges):
        chunk.append(text)
        size += len(text)
        if size >= CHUNK_CHARS:
            yield "".join(chunk).encode()
            chunk, size = [], 0
    yield "".join(chunk).encode()


def encode_families(
    https: list[HttpMetrics], tcps: list[TcpMetrics], counters: list[Counters], gauges: list[Gauge]
) -> Iterator[str]:
    for name, help, http_samples in HTTP_FAMILIES:
        yield encode_head(name, "counter", help)
        for http in https:
            yield encode_samples(name, http.labels, http_samples(http))
    yield encode_head(LATENCY, "histogram", "Time from a request's begin to its response's end, in ms.")
    for http in https:
        yield encode_latency(http)
    for name, kind, help, tcp_samples in TCP_FAMILIES:
        yield encode_head(name, kind, help)
        for tcp in tcps:
            yield encode_samples(name, tcp.labels, tcp_samples(tcp))
    for family in counters:
        yield encode_head(family.name, "counter", family.help) + encode_samples(family.name, (), family.samples())
    for gauge in gauges:
        yield encode_head(gauge.name, gauge.kind, gauge.help) + encode_samples(gauge.name, (), gauge.collect())


def encode_head(name: str, kind: str, help: str) -> str:
    return f"# HELP {name} {help}\n# TYPE {name} {kind}\n"


def encode_samples(name: str, common: Labels, samples: Iterable[tuple[Labels, float]]) -> str:
    lines = []
    for labels, number in samples:
        text = encode_labels((*common, *labels))
        lines.append(f"{name}{{{text}}} {encode_number(number)}\n" if text else f"{name} {encode_number(number)}\n")
    return "".join(lines)


def encode_latency(handle: HttpMetrics) -> str:
    """Write one histogram: its buckets add up, as the format wants them."""
    labels = encode_labels(handle.labels)
    begin = f'{LATENCY}_bucket{{{labels}{"," if labels else ""}le="'
    lines = [
        f'{begin}{bound}"}} {count}\n'
        for bound, count in zip((*LATENCY_BOUNDS_MS, "+Inf"), accumulate(handle.buckets), strict=True)
    ]
    total = f"{{{labels}}}" if labels else ""
    lines.append(f"{LATENCY}_sum{total} {encode_number(handle.latency_sum_ms)}\n")
    lines.append(f"{LATENCY}_count{total} {sum(handle.buckets)}\n")
    return "".join(lines)


def encode_number(number: float) -> str:
    if math.isfinite(number):
        return repr(number)
    return "NaN" if number != number else "+Inf" if number > 0 else "-Inf"
