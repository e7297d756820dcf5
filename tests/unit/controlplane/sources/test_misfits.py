from __future__ import annotations

import pytest

from controlplane.model.objects import Object, Service, ServicePort, Slice, SlicePort
from controlplane.sources.misfits import find_misfits

WEB = Service("shop", "web", ports=(ServicePort("grpc", 80), ServicePort("udp", 53, "UDP")))


def make(service: str = "web", namespace: str = "shop", port: str = "grpc") -> Slice:
    return Slice(namespace, "web-1", service, "IPv4", ports=(SlicePort(port, 8080),), endpoints=())


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (make(), ""),
        (make(""), "endpointslices shop/web-1 belongs to no Service: give it the label kubernetes.io/service-name"),
        (make("wbe"), "endpointslices shop/web-1 names Service shop/wbe, which does not exist"),
        (make(namespace="default"), "endpointslices default/web-1 names Service default/web, which does not exist"),
        (make(port=""), "endpointslices shop/web-1 has no port of Service web's: its ports are named '', those 'grpc'"),
    ],
)
def test_slices_that_serve_nothing(item: Object, problem: str) -> None:
    assert find_misfits([WEB, item]) == ([problem] if problem else [])


def test_a_service_without_ports_asks_for_none() -> None:
    assert find_misfits([Service("shop", "web"), make()]) == []
