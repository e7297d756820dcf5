"""From raw objects, as the API or a manifest has them, to values; and what is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from controlplane.model.fields import ObjectError
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
from controlplane.model.read import KINDS_BY_NAME, read

SERVICE = """
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations: {config.gossamer.mesh/b: "2", config.gossamer.mesh/a: "ü", other/c: "3"}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.1
  clusterIPs: [10.96.0.1, "fd00:0::1"]
  ipFamilies: [IPv4, IPv6]
  internalTrafficPolicy: Local
  ports:
  - {name: grpc, port: 80, targetPort: api, protocol: TCP, appProtocol: kubernetes.io/h2c, nodePort: 30000}
  - {name: dns, port: 53, protocol: UDP}
"""
SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-x7k2p
  namespace: shop
  labels: {kubernetes.io/service-name: web}
addressType: IPv4
ports:
- {name: grpc, port: 8080, protocol: TCP, appProtocol: kubernetes.io/h2c}
endpoints:
- addresses: [10.0.0.1, 10.0.0.99]
  conditions: {ready: false, serving: true, terminating: true}
  hostname: web-0
  nodeName: node-1
  zone: east
  hints: {forZones: [{name: west}, {name: east}]}
  targetRef: {kind: Pod, name: web-0, namespace: shop, uid: u-0}
"""
POD = """
apiVersion: v1
kind: Pod
metadata:
  name: web-7c5ddbdf54-abcde
  namespace: shop
  uid: u-0
  labels: {pod-template-hash: 7c5ddbdf54}
  annotations: {config.gossamer.mesh/opaque-ports: "7000,8000-8010"}
  deletionTimestamp: 2026-01-01T00:00:00Z
  ownerReferences:
  - {kind: Something, name: else}
  - {kind: ReplicaSet, name: web-7c5ddbdf54, controller: true}
spec:
  nodeName: node-1
  serviceAccountName: web
  hostNetwork: true
  initContainers: [{name: gossamer-proxy}]
  containers: [{name: web}]
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "fd00:0::1"}]
"""
SAMPLES = {SERVICES: SERVICE, SLICES: SLICE, PODS: POD}


def load(kind: str, **metadata: Any) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(SAMPLES[kind])
    raw["metadata"].update(metadata)
    return raw


def read_pod(**metadata: Any) -> Pod:
    pod = read(PODS, {"metadata": {"name": "web-0", **metadata}})
    assert isinstance(pod, Pod)
    return pod


def read_endpoint(**more: Any) -> SliceEndpoint:
    endpoint = {"addresses": ["10.0.0.1"], **more}
    item = read(SLICES, {"metadata": {"name": "x"}, "addressType": "IPv4", "endpoints": [endpoint]})
    assert isinstance(item, Slice)
    return item.endpoints[0]


def read_service(**spec: Any) -> Service:
    service = read(SERVICES, {"metadata": {"name": "web"}, "spec": spec})
    assert isinstance(service, Service)
    return service


def test_a_service() -> None:
    assert read(SERVICES, load(SERVICES)) == Service(
        "shop",
        "web",
        "LoadBalancer",
        cluster_ips=("10.96.0.1", "fd00::1"),
        ip_families=("IPv4", "IPv6"),
        ports=(ServicePort("grpc", 80, "TCP", "kubernetes.io/h2c"), ServicePort("dns", 53, "UDP")),
        local_only=True,
        annotations=(("config.gossamer.mesh/a", "ü"), ("config.gossamer.mesh/b", "2")),
    )


def test_a_slice() -> None:
    endpoint = SliceEndpoint(
        "10.0.0.1", False, True, True, "web-0", "node-1", "east", ("east", "west"), ("shop", "web-0"), "u-0"
    )
    ports = (SlicePort("grpc", 8080, "TCP", "kubernetes.io/h2c"),)
    assert read(SLICES, load(SLICES)) == Slice("shop", "web-x7k2p", "web", "IPv4", ports, (endpoint,))


def test_a_pod() -> None:
    assert read(PODS, load(PODS)) == Pod(
        "shop",
        "web-7c5ddbdf54-abcde",
        "u-0",
        ("10.0.0.1", "fd00::1"),
        "node-1",
        "web",
        "deployment",
        "web",
        meshed=True,
        terminating=True,
        finished=False,
        host_network=True,
        opaque_ports="7000,8000-8010",
    )


def test_json_and_yaml_are_the_same() -> None:
    for kind in SAMPLES:
        raw = json.loads(json.dumps(load(kind), default=str))
        assert read(kind, raw) == read(kind, load(kind))


def test_the_kinds_by_their_names_in_the_api() -> None:
    for kind in SAMPLES:
        raw = load(kind)
        assert KINDS_BY_NAME[raw["apiVersion"], raw["kind"]] == kind


class TestServiceDefaults:
    def test_of_almost_nothing(self) -> None:
        assert read(SERVICES, {"metadata": {"name": "web"}}) == Service("default", "web")

    def test_of_a_port(self) -> None:
        assert read_service(ports=[{"port": 80}]).ports == (ServicePort("", 80, "TCP", ""),)

    @pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"clusterIPs": ["None"]}])
    def test_headless(self, spec: dict[str, Any]) -> None:
        service = read_service(**spec)
        assert (service.headless, service.cluster_ips) == (True, ())

    @pytest.mark.parametrize("spec", [{}, {"clusterIP": ""}, {"clusterIP": None, "clusterIPs": []}])
    def test_without_an_address_yet(self, spec: dict[str, Any]) -> None:
        service = read_service(**spec)
        assert (service.headless, service.cluster_ips) == (False, ())

    def test_the_families_of_its_addresses(self) -> None:
        assert read_service(clusterIP="10.96.0.1").ip_families == ("IPv4",)
        assert read_service(clusterIPs=["fd00::1", "10.96.0.1"]).ip_families == ("IPv6", "IPv4")

    def test_an_external_name(self) -> None:
        service = read_service(type="ExternalName", externalName="DB.example.", clusterIP="ignored")
        assert (service.kind, service.external_name, service.cluster_ips) == ("ExternalName", "db.example", ())
        assert read_service(externalName="ignored.example").external_name == ""


class TestEndpointDefaults:
    def test_null_is_ready_and_serving(self) -> None:
        for more in ({}, {"conditions": None}, {"conditions": {}}, {"conditions": {"ready": None, "serving": None}}):
            endpoint = read_endpoint(**more)
            assert (endpoint.ready, endpoint.serving, endpoint.terminating) == (True, True, False)

    def test_serving_is_as_ready_where_it_is_null(self) -> None:
        assert not read_endpoint(conditions={"ready": False}).serving
        assert read_endpoint(conditions={"ready": False, "serving": True}).serving

    def test_a_reference_to_something_else_is_no_pod(self) -> None:
        endpoint = read_endpoint(targetRef={"kind": "Node", "name": "node-1", "uid": "u"})
        assert (endpoint.pod, endpoint.pod_uid) == (None, "")

    def test_a_reference_is_to_the_slices_namespace(self) -> None:
        assert read_endpoint(targetRef={"kind": "Pod", "name": "web-0"}).pod == ("default", "web-0")

    def test_a_reference_to_another_namespace_is_no_pod(self) -> None:
        reference = {"kind": "Pod", "namespace": "kube-system", "name": "cni", "uid": "u"}
        endpoint = read_endpoint(targetRef=reference)
        assert (endpoint.pod, endpoint.pod_uid) == (None, "")

    def test_a_slice_without_service_ports_and_endpoints(self) -> None:
        assert read(SLICES, {"metadata": {"name": "x"}, "addressType": "IPv6", "ports": None}) == Slice(
            "default", "x", "", "IPv6", (), ()
        )

    def test_a_port_that_is_left_open(self) -> None:
        item = read(SLICES, {"metadata": {"name": "x"}, "addressType": "IPv4", "ports": [{"port": None}]})
        assert isinstance(item, Slice)
        assert item.ports == (SlicePort("", 0),)

    def test_names_are_taken_from_fqdn_slices(self) -> None:
        endpoints = [{"addresses": ["db.example"]}]
        item = read(SLICES, {"metadata": {"name": "x"}, "addressType": "FQDN", "endpoints": endpoints})
        assert isinstance(item, Slice)
        assert item.endpoints[0].address == "db.example"


class TestWorkload:
    @pytest.mark.parametrize(
        ("kind", "name", "expected"),
        [
            ("ReplicaSet", "web-7c5ddbdf54", ("deployment", "web")),
            ("ReplicaSet", "web", ("replicaset", "web")),
            ("ReplicaSet", "web7c5ddbdf54", ("replicaset", "web7c5ddbdf54")),
            ("StatefulSet", "db", ("statefulset", "db")),
            ("DaemonSet", "agent", ("daemonset", "agent")),
            ("Job", "migrate", ("job", "migrate")),
            ("Job", "migrate-2", ("job", "migrate-2")),
            ("Job", "backup-29381760", ("cronjob", "backup")),
            ("Job", "backup-1767225600", ("cronjob", "backup")),
            ("Rollout", "web", ("rollout", "web")),
            ("Node", "node-1", ("pod", "web-0")),
            ("", "", ("pod", "web-0")),
        ],
    )
    def test_is_the_owner(self, kind: str, name: str, expected: tuple[str, str]) -> None:
        owners = [{"kind": kind, "name": name, "controller": True}]
        pod = read_pod(ownerReferences=owners, labels={"pod-template-hash": "7c5ddbdf54"})
        assert (pod.workload_kind, pod.workload) == expected

    def test_of_a_pod_without_an_owner(self) -> None:
        pod = read_pod()
        assert (pod.workload_kind, pod.workload, pod.service_account, pod.uid) == ("pod", "web-0", "default", "")

    def test_of_a_replica_set_without_the_hash(self) -> None:
        pod = read_pod(ownerReferences=[{"kind": "ReplicaSet", "name": "web-"}])
        assert (pod.workload_kind, pod.workload) == ("replicaset", "web-")


class TestPodStatus:
    @pytest.mark.parametrize(("phase", "finished"), [("Succeeded", True), ("Failed", True), ("Running", False)])
    def test_phase(self, phase: str, finished: bool) -> None:
        pod = read(PODS, {"metadata": {"name": "p"}, "status": {"phase": phase}})
        assert isinstance(pod, Pod)
        assert pod.finished is finished

    @pytest.mark.parametrize(
        ("status", "ips"),
        [
            ({}, ()),
            ({"podIP": ""}, ()),
            ({"podIP": "10.0.0.1"}, ("10.0.0.1",)),
            ({"podIPs": [{}]}, ()),
            ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}, ("10.0.0.1",)),
        ],
    )
    def test_addresses(self, status: dict[str, Any], ips: tuple[str, ...]) -> None:
        pod = read(PODS, {"metadata": {"name": "p"}, "status": status})
        assert isinstance(pod, Pod)
        assert pod.ips == ips

    def test_the_proxy_may_be_any_container(self) -> None:
        for key, meshed in (("containers", True), ("initContainers", True), ("ephemeralContainers", False)):
            pod = read(PODS, {"metadata": {"name": "p"}, "spec": {key: [{"name": "x"}, {"name": "gossamer-proxy"}]}})
            assert isinstance(pod, Pod)
            assert pod.meshed is meshed


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        (SERVICES, "metadata", [], "the field metadata must be a mapping, not a list"),
        (SERVICES, "metadata.name", None, "metadata.name must be a DNS name"),
        (SERVICES, "metadata.name", 7, "metadata.name must be a DNS name"),
        (SERVICES, "metadata.name", "a.b", "metadata.name must be a DNS label"),
        (SERVICES, "metadata.namespace", "../etc", "metadata.namespace must be a DNS label"),
        (SERVICES, "spec", "text", "spec must be a mapping, not 'text'"),
        (SERVICES, "spec.type", "Odd", "spec.type must be one of ClusterIP"),
        (SERVICES, "spec.clusterIPs", ["10.96.0.256"], "spec.clusterIPs[] must be an IP address, not '10.96.0.256'"),
        (SERVICES, "spec.clusterIPs", ["1.2.3.4\n"], "spec.clusterIPs[] must be an IP address"),
        (SERVICES, "spec.clusterIPs", ["fe80::1%eth0"], "spec.clusterIPs[] must be an IP address"),
        (SERVICES, "spec.clusterIPs", [167772161], "spec.clusterIPs[] must be an IP address, not 167772161"),
        (SERVICES, "spec.ipFamilies", ["IPv5"], "spec.ipFamilies[] must be one of IPv4, IPv6, not 'IPv5'"),
        (SERVICES, "spec.ports", {}, "spec.ports must be a list, not a mapping"),
        (SERVICES, "spec.ports", [80], "spec.ports[] must be a mapping, not 80"),
        (SERVICES, "spec.ports", [{}], "spec.ports[].port must be a port number from 1 to 65535, not null"),
        (SERVICES, "spec.ports", [{"port": 65536}], "not 65536"),
        (SERVICES, "spec.ports", [{"port": True}], "not True"),
        (SERVICES, "spec.ports", [{"port": 80.0}], "not 80.0"),
        (SERVICES, "spec.ports", [{"port": "80"}], "not '80'"),
        (SERVICES, "spec.ports", [{"port": 10**5000}], "not a huge number"),
        (SERVICES, "spec.ports", [{"port": 80, "protocol": "ICMP"}], "spec.ports[].protocol must be one of TCP"),
        (SERVICES, "spec.ports", [{"port": 80, "name": 80}], "spec.ports[].name must be printable ASCII text"),
        (SERVICES, "spec.ports", [{"port": 80, "appProtocol": "\ud800"}], "spec.ports[].appProtocol must be"),
        (
            SERVICES,
            "metadata.annotations",
            {"config.gossamer.mesh/a": "\udfff"},
            "config.gossamer.mesh/a' must be text",
        ),
        (SERVICES, "metadata.annotations", {"config.gossamer.mesh/a": 1}, "must be text"),
        (SLICES, "addressType", None, "addressType must be one of IPv4, IPv6, FQDN, not null"),
        (SLICES, "ports", [{"port": 0}], "ports[].port must be a port number"),
        (SLICES, "endpoints", [{"addresses": []}], "endpoints[].addresses must hold an address"),
        (SLICES, "endpoints", [{"addresses": ["db.example"]}], "endpoints[].addresses[] must be an IP address"),
        (SLICES, "endpoints", [{"addresses": ["::1"]}], "endpoints[].addresses[] must be IPv4 as addressType says"),
        (SLICES, "endpoints", [{"addresses": ["1.2.3.4"], "conditions": {"ready": "yes"}}], "must be true or false"),
        (
            SLICES,
            "endpoints",
            [{"addresses": ["1.2.3.4"], "hostname": "a.b"}],
            "endpoints[].hostname must be a DNS label",
        ),
        (SLICES, "endpoints", [{"addresses": ["1.2.3.4"], "targetRef": {"kind": "Pod"}}], "endpoints[].targetRef.name"),
        (SLICES, "endpoints", [{"addresses": ["1.2.3.4"], "zone": "a" * 254}], "endpoints[].zone must be printable"),
        (PODS, "metadata.uid", 5, "metadata.uid must be printable ASCII text"),
        (PODS, "metadata.ownerReferences", [{"kind": "Job", "name": ["x"]}], "metadata.ownerReferences[].name must be"),
        (PODS, "spec.containers", [None, "x"], "spec.containers must be a mapping, not 'x'"),
        (PODS, "spec.nodeName", "node\n1", "spec.nodeName must be printable ASCII text of at most 253 characters"),
        (PODS, "spec.hostNetwork", "true", "spec.hostNetwork must be true or false, not 'true'"),
        (PODS, "status.podIPs", [{"ip": "x"}], "status.podIPs[].ip must be an IP address, not 'x'"),
    ],
)
def test_what_is_refused_and_why(kind: str, path: str, value: Any, message: str) -> None:
    raw = load(kind)
    *way, last = path.split(".")
    inner = raw
    for step in way:
        inner = inner[step]
    inner[last] = value
    with pytest.raises(ObjectError) as caught:
        read(kind, raw)
    text = str(caught.value)
    assert message.removeprefix("the field ") in text
    assert text.isascii()
    assert text.isprintable()
    assert text.startswith(kind)
    assert text.endswith(".")
    assert len(text) < 300


LOOPBACK = ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1")
SPECIAL = [
    *("0.0.0.0", "169.254.169.254", "224.0.0.1", "239.1.2.3", "255.255.255.255"),
    *("::", "fe80::1", "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe"),
]
PLAIN = ("10.0.0.1", "22.0.0.1", "100.64.0.1", "223.0.0.1", "240.0.0.1", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1")


class TestPlaces:
    """An object must not lead its clients to their own host, their link, or the metadata of the machine."""

    def read_at(self, address: str, loopback: bool) -> str:
        family = "IPv6" if ":" in address else "IPv4"
        raw = {"metadata": {"name": "x"}, "addressType": family, "endpoints": [{"addresses": [address]}]}
        item = read(SLICES, raw, loopback)
        assert isinstance(item, Slice)
        return item.endpoints[0].address

    @pytest.mark.parametrize("address", SPECIAL)
    @pytest.mark.parametrize("loopback", [True, False])
    def test_no_endpoint_is_at_a_special_address(self, address: str, loopback: bool) -> None:
        with pytest.raises(ObjectError, match=r"^endpointslices default/x: endpoints\[\]\.addresses\[\] must not be"):
            self.read_at(address, loopback)

    @pytest.mark.parametrize("address", LOOPBACK)
    def test_loopback_is_a_place_on_a_laptop_alone(self, address: str) -> None:
        assert self.read_at(address, True)
        with pytest.raises(ObjectError, match="must not be loopback"):
            self.read_at(address, False)

    @pytest.mark.parametrize("address", PLAIN)
    def test_all_others_are_places(self, address: str) -> None:
        assert self.read_at(address, False)

    @pytest.mark.parametrize("name", ["127.0.0.1", "169.254.169.254.", "2130706433", "0x7f.1", "0x7f000001", "a.0x"])
    @pytest.mark.parametrize("loopback", [True, False])
    def test_an_external_name_is_no_address(self, name: str, loopback: bool) -> None:
        with pytest.raises(ObjectError, match=r"spec\.externalName must be a DNS name, not an address"):
            read(SERVICES, external(name), loopback)

    @pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "metadata.localhost"])
    def test_an_external_name_is_this_host_on_a_laptop_alone(self, name: str) -> None:
        assert read(SERVICES, external(name), True)
        with pytest.raises(ObjectError, match="must not be loopback"):
            read(SERVICES, external(name), False)

    @pytest.mark.parametrize("name", ["db.example", "1.example", "x0x1", "mylocalhost"])
    def test_other_external_names(self, name: str) -> None:
        assert read(SERVICES, external(name), False)


def external(name: str) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "spec": {"type": "ExternalName", "externalName": name}}


@pytest.mark.parametrize("raw", [None, [], "text", 5, {}, {"metadata": None}, {"metadata": {"name": {}}}])
@pytest.mark.parametrize("kind", [SERVICES, SLICES, PODS])
def test_what_is_no_object_at_all(kind: str, raw: Any) -> None:
    with pytest.raises(ObjectError):
        read(kind, raw)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) within a raw object."""
    entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, inner in entries:
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


HOSTILE = (None, True, 0, -1, 10**30, 10**5000, 1.5, float("nan"), "", "x" * 10_000, "\x00", "\ud800", "é", "None")
HOSTILE += ([], {}, [None], [[]], [{}], {"name": {}}, {1: 2}, b"bytes", frozenset([1]), object())  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [SERVICES, SLICES, PODS])
def test_anything_anywhere_is_read_or_refused(kind: str) -> None:
    sample, refused, accepted = load(kind), [], []
    for index in range(len(list(places(sample)))):
        for hostile in HOSTILE:
            raw = copy.deepcopy(sample)
            container, key = list(places(raw))[index]
            container[key] = hostile
            try:
                accepted.append(read(kind, raw))
            except ObjectError as error:
                refused.append(str(error))
    assert all(text.isprintable() and len(text) < 400 for text in refused)
    assert all(repr(item).encode() and hash(item) for item in accepted)
    assert len(refused) > 100 < len(accepted)
