"""Counters, histograms and gauges, counted by the data path and written at scrape. docs/metrics.md lists them."""

from proxy.metrics.handles import NO_GRPC_STATUS, NO_STATUS, HttpMetrics, TcpMetrics
from proxy.metrics.labels import Labels
from proxy.metrics.registry import Registry

__all__ = ["NO_GRPC_STATUS", "NO_STATUS", "HttpMetrics", "Labels", "Registry", "TcpMetrics"]
