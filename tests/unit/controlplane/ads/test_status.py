"""CSDS: what each client asked for, has taken and has refused."""

from __future__ import annotations

import grpc
import pytest
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus
from envoy.service.status.v3.csds_pb2 import ClientStatusRequest, ClientStatusResponse
from envoy.service.status.v3.csds_pb2_grpc import ClientStatusDiscoveryServiceStub
from envoy.type.matcher.v3.node_pb2 import NodeMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from controlplane.translate.resource import CDS, EDS
from tests.unit.controlplane.ads.serving import DeltaCall, Serving, serve
from tests.unit.controlplane.discovery.table import ENVOY_NODE


def by_name(response: ClientStatusResponse) -> dict[tuple[str, str], tuple[str, str]]:
    (config,) = response.config
    return {
        (item.type_url, item.name): (ClientResourceStatus.Name(item.client_status), item.error_state.details)
        for item in config.generic_xds_configs
    }


async def fill(serving: Serving, call: DeltaCall) -> None:
    """One resource of each state."""
    for name in ("taken", "refused", "flying"):
        serving.table.put(CDS, name, "1")
        serving.table.put(EDS, name, "1")
    await call.fetch(CDS, "taken", "missing")
    await call.send(CDS, ["refused"])
    await call.ack(await call.read(), problem="no\tgood")
    await call.send(EDS, ["flying"])
    await call.read()


async def test_every_state_is_shown() -> None:
    async with serve() as serving, serving.channel() as channel:
        await fill(serving, DeltaCall(channel))
        stub = ClientStatusDiscoveryServiceStub(channel)
        response = await stub.FetchClientStatus(ClientStatusRequest())
        assert by_name(response) == {
            (CDS, "taken"): ("ACKED", ""),
            (CDS, "missing"): ("DOES_NOT_EXIST", ""),
            (CDS, "refused"): ("NACKED", "no\\tgood"),
            (EDS, "flying"): ("REQUESTED", ""),
        }
        assert response.config[0].node.id == "voting-1.demo"
        items = {item.name: item for item in response.config[0].generic_xds_configs}
        assert items["taken"].xds_config.value == serving.table.resources[CDS, "taken"].body
        assert items["taken"].version_info == serving.table.resources[CDS, "taken"].version
        assert items["refused"].error_state.version_info == serving.table.resources[CDS, "refused"].version


async def test_bodies_can_be_left_out_and_the_stream_answers_each_request() -> None:
    async with serve() as serving, serving.channel() as channel:
        await fill(serving, DeltaCall(channel))
        call = ClientStatusDiscoveryServiceStub(channel).StreamClientStatus()
        for _ in range(2):
            await call.write(ClientStatusRequest(exclude_resource_contents=True))
            (config,) = (await call.read()).config
            assert not any(item.HasField("xds_config") for item in config.generic_xds_configs)
        await call.done_writing()
        assert await call.code() == grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("matcher", "found"),
    [
        (StringMatcher(exact="envoy-1.demo"), {"envoy-1.demo"}),
        (StringMatcher(prefix="voting"), {"voting-1.demo"}),
        (StringMatcher(suffix=".demo"), {"envoy-1.demo", "voting-1.demo"}),
        (StringMatcher(contains="-1"), {"envoy-1.demo", "voting-1.demo"}),
        (StringMatcher(exact="nobody"), set()),
    ],
)
async def test_clients_can_be_selected(matcher: StringMatcher, found: set[str]) -> None:
    async with serve() as serving, serving.channel() as channel:
        await DeltaCall(channel).fetch(CDS, "a")
        await DeltaCall(channel, ENVOY_NODE).fetch(CDS, "a")
        request = ClientStatusRequest(node_matchers=[NodeMatcher(node_id=matcher)])
        response = await ClientStatusDiscoveryServiceStub(channel).FetchClientStatus(request)
        assert {config.node.id for config in response.config} == found


async def test_what_is_not_understood_is_refused() -> None:
    async with serve() as serving, serving.channel() as channel:
        await DeltaCall(channel).fetch(CDS, "a")
        request = ClientStatusRequest(node_matchers=[NodeMatcher(node_id=StringMatcher(exact="x", ignore_case=True))])
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await ClientStatusDiscoveryServiceStub(channel).FetchClientStatus(request)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
