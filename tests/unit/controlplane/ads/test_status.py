"""CSDS: what each client asked for, has taken and has refused."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus
from envoy.service.status.v3.csds_pb2 import ClientStatusRequest, ClientStatusResponse
from envoy.service.status.v3.csds_pb2_grpc import ClientStatusDiscoveryServiceStub
from envoy.type.matcher.v3.node_pb2 import NodeMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from controlplane.ads.status import STATUS_SERVICE, describe
from controlplane.translate.resource import CDS, EDS
from tests.unit.controlplane.ads.raw import Raw
from tests.unit.controlplane.ads.serving import DeltaCall, Serving, serve
from tests.unit.controlplane.discovery.table import ENVOY_NODE, DeltaClient, Exchange, Table

EXACT = ClientStatusRequest(node_matchers=[NodeMatcher(node_id=StringMatcher(exact="voting-1.demo"))])


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
        response = await stub.FetchClientStatus(EXACT)
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


async def test_who_cannot_name_a_client_sees_no_bodies() -> None:
    async with serve() as serving, serving.channel() as channel:
        await fill(serving, DeltaCall(channel))
        stub = ClientStatusDiscoveryServiceStub(channel)
        guesses = [NodeMatcher(node_id=StringMatcher(prefix="")), NodeMatcher(node_id=StringMatcher(exact="x"))]
        for request in (ClientStatusRequest(), ClientStatusRequest(node_matchers=guesses)):
            (config,) = (await stub.FetchClientStatus(request)).config
            assert len(config.generic_xds_configs) == 4
            assert not any(item.HasField("xds_config") for item in config.generic_xds_configs)


async def test_an_answer_that_would_be_too_large_is_refused() -> None:
    large = ("grpc.max_receive_message_length", -1)
    async with serve() as serving, serving.channel(large) as channel:
        serving.table.put(CDS, "large", "1", 5_000_000)
        call = DeltaCall(channel)
        await call.send(CDS, ["large"])
        await call.read()
        stub = ClientStatusDiscoveryServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.FetchClientStatus(EXACT)
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len((await stub.FetchClientStatus(ClientStatusRequest())).config) == 1, "without bodies it is not"


async def test_others_get_their_turn_while_an_answer_is_made() -> None:
    exchange = Exchange(Table())
    client = DeltaClient(exchange)
    client.send(CDS, [str(number) for number in range(2000)])
    client.settle()
    task, turns = asyncio.create_task(describe(list(exchange.streams), ClientStatusRequest())), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await task).config[0].generic_xds_configs) == 2000
    assert turns >= 4


async def test_two_answers_are_made_at_a_time() -> None:
    """Those of clients that do not read are two; a third waits its turn, and discovery does not."""
    async with serve() as serving, serving.channel() as channel, Raw(serving.port, window_bytes=0) as raw:
        serving.table.put(CDS, "taken", "1", 100_000)
        await DeltaCall(channel).fetch(CDS, "taken")
        await serving.until(lambda: serving.unsent.in_all == 0)
        for _ in range(3):
            raw.open(EXACT.SerializeToString(), method=f"/{STATUS_SERVICE}/StreamClientStatus")
        size = (await describe(list(serving.exchange.streams), EXACT)).ByteSize()
        await serving.until(lambda: serving.unsent.in_all == 2 * size)
        assert await DeltaCall(channel, ENVOY_NODE).fetch(CDS, "taken") != {}
        await serving.until(lambda: serving.unsent.in_all == 2 * size)


async def test_bodies_can_be_left_out_and_the_stream_answers_each_request() -> None:
    async with serve() as serving, serving.channel() as channel:
        await fill(serving, DeltaCall(channel))
        call = ClientStatusDiscoveryServiceStub(channel).StreamClientStatus()
        for _ in range(2):
            await call.write(ClientStatusRequest(node_matchers=EXACT.node_matchers, exclude_resource_contents=True))
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
