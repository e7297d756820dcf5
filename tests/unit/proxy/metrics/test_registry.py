"""Handles, their bound, their eviction, and what a scrape says, as prometheus-client's parser reads it."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from proxy.metrics import NO_GRPC_STATUS, NO_STATUS, HttpMetrics, Registry, TcpMetrics
from proxy.metrics.exposition import CHUNK_CHARS
from proxy.metrics.families import MAX_COUNTERS
from proxy.metrics.handles import LATENCY_BOUNDS_MS, MAX_OUTCOMES
from proxy.metrics.labels import Labels, clean_value
from proxy.metrics.process import add_process_metrics
from proxy.metrics.registry import IDLE_S, MAX_FOREIGN, MAX_HANDLES
from proxy.metrics.state import EndpointState, add_endpoint_metrics, add_stream_metrics

ROOT = Path(__file__).parents[4]

LABELS: Labels = (("direction", "outbound"), ("authority", "emoji:80"))


def scrape(registry: Registry) -> dict[tuple[str, Labels], float]:
    """Render and parse everything; label sets come sorted."""
    samples: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(registry.render().decode()):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in samples, "the same series twice"
            samples[key] = sample.value
    return samples


def value(registry: Registry, name: str, labels: Labels = LABELS, /, **more: str) -> float | None:
    return scrape(registry).get((name, tuple(sorted((*labels, *more.items())))))


def test_requests_and_responses() -> None:
    registry = Registry()
    handle = registry.http(LABELS)
    handle.requests += 5
    handle.observe(True, 200, 0, 3.0)
    handle.observe(True, 200, 0, 3.1)
    handle.observe(False, 200, 14, 700.0)
    handle.observe(True, 204, NO_GRPC_STATUS, 60_000.0)
    handle.observe(False, NO_STATUS, NO_GRPC_STATUS, 0.1)
    assert value(registry, "request_total") == 5
    success = {"classification": "success"}
    assert value(registry, "response_total", status_code="200", grpc_status="0", **success) == 2
    assert value(registry, "response_total", status_code="200", grpc_status="14", classification="failure") == 1
    assert value(registry, "response_total", status_code="204", **success) == 1
    assert value(registry, "response_total", classification="failure") == 1
    assert value(registry, "response_latency_ms_count") == 5
    assert value(registry, "response_latency_ms_sum") == pytest.approx(60_706.2)


def test_latency_buckets_are_linkerd_s_and_include_their_bound() -> None:
    assert LATENCY_BOUNDS_MS == (
        1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500,
        1000, 2000, 3000, 4000, 5000, 10000, 20000, 30000, 40000, 50000,
    )  # fmt: skip
    registry = Registry()
    handle = registry.http(LABELS)
    for latency_ms in (0.0, 1.0, 1.5, 5.0, 5.1, 50_000.0, 50_000.1):
        handle.observe(True, 200, 0, latency_ms)
    counts = [value(registry, "response_latency_ms_bucket", le=le) for le in ("1", "2", "5", "10", "50000", "+Inf")]
    assert counts == [2, 3, 4, 5, 6, 7]


def test_what_is_counted_aside_is_told_whenever_it_is_asked_for() -> None:
    registry = Registry()
    handle = registry.http(LABELS)
    for count, (status, latency_ms) in enumerate([(200, 0.5), (200, 0.5), (200, 7.0), (503, 7.0), (200, 0.5)], 1):
        handle.observe(status == 200, status, -1, latency_ms)
        assert sum(handle.responses.values()) == sum(handle.buckets) == handle.activity() == count
        assert not handle.is_open()
    assert handle.responses == {200 << 6 | 1: 4, 503 << 6: 1}
    assert [handle.buckets[0], handle.buckets[5]] == [3, 2]


def test_outcomes_are_bounded() -> None:
    registry = Registry()
    handle = registry.http(LABELS)
    for status in range(100, 900):
        handle.observe(True, status, 0, 1.0)
    for grpc_status in (17, -2, 10**9):
        handle.observe(False, 200, grpc_status, 1.0)
    assert len(handle.responses) <= MAX_OUTCOMES + 2
    assert value(registry, "response_total", classification="success", status_code="overflow") == 800 - MAX_OUTCOMES
    assert sum(handle.responses.values()) == sum(handle.buckets) == 803


@pytest.mark.parametrize("grpc_status", [17, -2, 10**9])
def test_a_grpc_status_that_is_none_is_unknown(grpc_status: int) -> None:
    registry = Registry()
    registry.http(LABELS).observe(False, 200, grpc_status, 1.0)
    assert value(registry, "response_total", classification="failure", status_code="200", grpc_status="2") == 1


@settings(deadline=None)
@given(st.booleans(), st.integers(100, 999), st.integers(-1, 16))
def test_outcomes_keep_apart_what_differs(success: bool, status: int, grpc_status: int) -> None:
    registry = Registry()
    registry.http(()).observe(success, status, grpc_status, 1.0)
    labels = {"classification": "success" if success else "failure", "status_code": str(status)}
    if grpc_status != NO_GRPC_STATUS:
        labels["grpc_status"] = str(grpc_status)
    assert value(registry, "response_total", (), **labels) == 1


def test_connections() -> None:
    registry = Registry()
    labels: Labels = (("direction", "inbound"), ("peer", "src"), ("tls", "no_identity"))
    handle = registry.tcp(labels)
    handle.opened += 3
    handle.read_bytes += 10
    handle.write_bytes += 20
    handle.close()
    handle.close("ECONNRESET")
    assert value(registry, "tcp_open_total", labels) == 3
    assert value(registry, "tcp_open_connections", labels) == 1
    assert value(registry, "tcp_close_total", labels, errno="") == 1
    assert value(registry, "tcp_close_total", labels, errno="ECONNRESET") == 1
    assert value(registry, "tcp_read_bytes_total", labels) == 10
    assert value(registry, "tcp_write_bytes_total", labels) == 20


def test_connections_that_lead_out_of_the_mesh_do_not_take_its_room() -> None:
    registry = Registry()
    handles = {
        registry.foreign_tcp((("direction", "outbound"), ("sni", f"{number}.example"))) for number in range(5000)
    }
    assert len(handles) == MAX_FOREIGN + 1
    handle = registry.tcp(LABELS)
    handle.opened += 1
    assert value(registry, "tcp_open_total") == 1
    registry.foreign_tcp((("direction", "outbound"), ("sni", "one.more.example"))).opened += 1
    assert value(registry, "tcp_open_total", (("direction", "outbound"), ("sni", "overflow"))) == 1


def test_idle_connections_are_evicted_but_for_what_lasts() -> None:
    """Whoever holds a handle for ever goes on to count with it after a quiet hour."""
    registry = Registry()
    lasting = registry.lasting_tcp((("direction", "inbound"),))
    for handle in (lasting, registry.tcp(LABELS), registry.foreign_tcp((("sni", "a"),))):
        handle.opened += 1
        handle.close()
    registry.sweep(0.0)
    registry.sweep(IDLE_S)
    assert registry.epoch == 0  # no request's decision refers to them
    lasting.opened += 1
    assert {name: number for name, number in scrape(registry).items() if name[0] == "tcp_open_total"} == {
        ("tcp_open_total", (("direction", "inbound"),)): 2
    }


def test_the_same_labels_give_the_same_handle() -> None:
    registry = Registry()
    assert registry.http(LABELS) is registry.http(tuple(LABELS))
    assert registry.http(LABELS) is not registry.http(LABELS[:1])
    assert registry.epoch == 0


def test_label_sets_are_bounded() -> None:
    registry = Registry(limit=10)
    handles = {
        registry.http((("direction", direction), ("authority", f"host{number}")))
        for number in range(1000)
        for direction in ("inbound", "outbound", "sideways")
    }
    assert len(handles) == 10 + 10 + 3  # the inbound ones have a bound of their own
    registry.http((("direction", "inbound"), ("authority", "another"))).requests += 1
    assert value(registry, "request_total", (("direction", "inbound"), ("authority", "overflow"))) == 1


def test_strangers_that_invent_authorities_do_not_take_the_room_of_the_mesh() -> None:
    registry = Registry()
    inbound = {registry.http((("direction", "inbound"), ("authority", f"{number}.example"))) for number in range(5000)}
    assert len(inbound) == MAX_FOREIGN + 1
    for number in range(MAX_HANDLES):
        registry.http((("direction", "outbound"), ("authority", f"{number}:80"))).requests += 1
    samples = scrape(registry)
    assert ("request_total", (("authority", "999:80"), ("direction", "outbound"))) in samples
    assert ("request_total", (("authority", "overflow"), ("direction", "outbound"))) not in samples


def test_strangers_labels_are_evicted_too() -> None:
    registry = Registry()
    labels: Labels = (("direction", "inbound"), ("authority", "a"))
    handle = registry.http(labels)
    registry.sweep(0.0)
    registry.sweep(IDLE_S)
    assert registry.epoch == 1
    assert registry.http(labels) is not handle


def test_idle_handles_are_evicted_and_the_epoch_tells() -> None:
    registry = Registry()
    idle, busy = registry.http(LABELS), registry.http(())
    registry.sweep(0.0)
    busy.requests += 1
    busy.observe(True, 200, 0, 1.0)
    registry.sweep(IDLE_S - 1)
    assert registry.epoch == 0
    registry.sweep(IDLE_S)
    assert registry.epoch == 1
    assert registry.http(()) is busy
    assert registry.http(LABELS) is not idle
    registry.sweep(IDLE_S * 2 - 1)
    assert registry.epoch == 2
    assert registry.http(()) is not busy


def test_what_is_open_is_not_evicted() -> None:
    registry = Registry()
    http, tcp = registry.http(LABELS), registry.tcp(LABELS)
    http.requests += 1
    tcp.opened += 1
    for now in (0.0, IDLE_S * 10):
        registry.sweep(now)
    assert (registry.http(LABELS), registry.tcp(LABELS)) == (http, tcp)
    http.observe(False, NO_STATUS, NO_GRPC_STATUS, IDLE_S * 10_000)
    tcp.close()
    registry.sweep(IDLE_S * 11)
    assert registry.epoch == 0  # what was counted is there to be scraped for a while
    registry.sweep(IDLE_S * 12)
    assert registry.epoch == 1
    assert (registry.http(LABELS), registry.tcp(LABELS)) != (http, tcp)


def test_an_eviction_makes_room() -> None:
    registry = Registry(limit=1)
    registry.http(LABELS)
    other: Labels = (("direction", "outbound"), ("authority", "other"))
    assert registry.http(other).labels == (("direction", "outbound"), ("authority", "overflow"))
    registry.sweep(0.0)
    registry.sweep(IDLE_S)
    assert registry.http(other).labels == other


def test_rare_events() -> None:
    registry = Registry()
    registry.protocol_faults.add("downstream", "rapid reset")
    registry.protocol_faults.add("downstream", "rapid reset")
    registry.failures.add("no_endpoint")
    registry.retries.add("goaway", "success")
    samples = scrape(registry)
    assert samples["gossamer_protocol_faults_total", (("reason", "rapid reset"), ("side", "downstream"))] == 2
    assert samples["gossamer_failures_total", (("reason", "no_endpoint"),)] == 1
    assert samples["gossamer_retries_total", (("outcome", "success"), ("reason", "goaway"))] == 1
    for number in range(MAX_COUNTERS * 2):
        registry.failures.add(f"reason {number}")
    failures = {labels: count for (name, labels), count in scrape(registry).items() if name == registry.failures.name}
    assert len(failures) == MAX_COUNTERS + 1
    assert failures[("reason", "overflow"),] == MAX_COUNTERS + 1


def test_gauges_are_asked_at_scrape() -> None:
    registry = Registry()
    ready = {"a:1": 1.0, "b:1": 0.0}
    registry.gauge(
        "gossamer_endpoint_ready",
        "Ready.",
        lambda: [((("target_addr", address),), number) for address, number in ready.items()],
    )
    assert value(registry, "gossamer_endpoint_ready", (), target_addr="b:1") == 0
    ready["b:1"] = float("inf")
    assert value(registry, "gossamer_endpoint_ready", (), target_addr="b:1") == float("inf")
    ready["b:1"] = float("nan")
    assert math.isnan(value(registry, "gossamer_endpoint_ready", (), target_addr="b:1") or 0)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_label_value_comes_out_clean_and_whole(text: str) -> None:
    registry = Registry()
    labels: Labels = (("authority", text),)
    registry.http(labels).requests += 1
    cleaned = clean_value(text)
    assert len(cleaned.encode()) <= 253
    assert value(registry, "request_total", (("authority", cleaned),)) == 1
    if text.isprintable() and len(text.encode()) <= 253:
        assert cleaned == text
    assert registry.http(labels) is registry.http(labels)


def test_values_that_are_no_text() -> None:
    assert clean_value("a\nb\x00\x7f\x85") == "a?b???"
    assert clean_value(b"\xff\xfe".decode("utf-8", "surrogateescape")) == "??"
    assert clean_value("é" * 300) == "é" * 126  # 252 bytes: half a character is none


def test_the_state_of_the_balancer_and_the_relay() -> None:
    registry = Registry()
    states = [EndpointState("emoji", "10.0.0.1:80", "http1", True, False, 3.5, 2)]
    add_endpoint_metrics(registry, lambda: states)
    add_stream_metrics(registry, lambda: 7)
    labels: Labels = (("dst_service", "emoji"), ("target_addr", "10.0.0.1:80"), ("protocol", "http1"))
    families = ("ready", "ejected", "ewma_ms", "pending")
    assert [value(registry, f"gossamer_endpoint_{family}", labels) for family in families] == [1, 0, 3.5, 2]
    assert value(registry, "gossamer_streams_stalled", ()) == 7
    states.clear()
    assert value(registry, "gossamer_endpoint_ready", labels) is None


def test_every_metric_is_documented() -> None:
    registry = Registry()
    add_process_metrics(registry, "1.2.3", "python")
    add_endpoint_metrics(registry, list)
    add_stream_metrics(registry, int)
    text = registry.render().decode()
    documented = set(re.findall(r"`(\w+)(?:\{[^}]*\})?`", (ROOT / "docs" / "metrics.md").read_text()))
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} <= documented


def test_an_empty_registry_is_valid() -> None:
    assert scrape(Registry()) == {}


def test_the_process() -> None:
    registry = Registry()
    add_process_metrics(registry, "1.2.3", "python")
    samples = scrape(registry)
    assert samples["gossamer_build_info", (("codec", "python"), ("version", "1.2.3"))] == 1
    assert 0 < samples["process_cpu_seconds_total", ()] < os.times().elapsed
    start_s = samples["process_start_time_seconds", ()]
    assert start_s == pytest.approx(Path("/proc/self").stat().st_ctime, abs=10)
    resident = samples["process_resident_memory_bytes", ()]
    assert 0 < samples["process_resident_anon_bytes", ()] < resident < samples["process_virtual_memory_bytes", ()]
    before = samples["process_open_fds", ()]
    with open(os.devnull, "rb"):
        assert value(registry, "process_open_fds", ()) == before + 1
    assert before < samples["process_max_fds", ()]


def test_a_large_answer_comes_in_pieces() -> None:
    registry = Registry()
    for number in range(200):
        registry.http((*LABELS, ("target_addr", f"10.0.0.{number}:80"))).requests += 1
    pieces = list(registry.exposition())
    assert len(pieces) > 10
    assert max(map(len, pieces)) < CHUNK_CHARS * 2
    assert b"".join(pieces) == registry.render()


def test_a_scrape_survives_what_changes_meanwhile() -> None:
    registry = Registry()
    for number in range(100):
        registry.http((("authority", str(number)),)).requests += 1
    text = b""
    for piece in registry.exposition():
        text += piece
        registry.http((("authority", f"new{len(text)}"),)).observe(True, 200, 0, 1.0)
        registry.sweep(len(text) * IDLE_S)
    assert len(list(text_string_to_metric_families(text.decode()))) == 11


def test_counting_needs_neither_the_exposition_nor_prometheus_client() -> None:
    script = (
        "import sys; from proxy.metrics import Registry; Registry().http(()).observe(True, 200, 0, 1.0);"
        "sys.exit('proxy.metrics.exposition' in sys.modules or 'prometheus_client' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_handles_have_no_dict() -> None:
    assert not hasattr(HttpMetrics(()), "__dict__")
    assert not hasattr(TcpMetrics(()), "__dict__")
