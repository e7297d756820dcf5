"""The balancer's numbers, with the reasons for their defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are seconds; the defaults are Linkerd's where Linkerd has the number."""

    # Latency estimate.
    decay_s: float = 10.0
    default_rtt_s: float = 0.030
    penalty_s: float = 5.0
    # Latencies that differ by less are the same: then the number of pending requests decides alone.
    tie_ratio: float = 2.0
    # No answer to anything for longer than this is a lower bound of the latency, whatever was measured before.
    silence_min_s: float = 1.0
    # Retry-After and grpc-retry-pushback-ms: an endpoint cannot talk itself out of the penalty with "0",
    # nor out of the mesh with "86400".
    retry_after_min_s: float = 1.0
    retry_after_max_s: float = 60.0
    # How long a refusal (REFUSED_STREAM, GOAWAY) keeps requests away while there are others.
    refusal_backoff_s: float = 1.0

    # Breaker.
    consecutive_faults: int = 7
    success_rate: float = 0.8
    min_requests: int = 5
    window_s: float = 10.0
    backoff_min_s: float = 1.0
    backoff_max_s: float = 60.0
    # Up to this part of the backoff is added, so that the probes of many sidecars spread.
    backoff_jitter: float = 0.2
