"""Bytes from a control plane may be anything: they end in a value or in one of the expected faults, never worse."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.control.cache import CacheError, read_cache, read_payload, write_cache
from proxy.control.call import Call
from proxy.control.delta import Delta
from proxy.control.framing import Deframer, FramingError, encode_message
from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE, TYPES, Resource
from proxy.control.tree import Tree
from proxy.control.wire import decode_response, encode_response
from proxy.route.message import XdsError
from tests.playbook.mutation import mutate
from tests.playbook.voice import GRPC_RESPONSE, Voice
from tests.unit.proxy.control.resources import make_cluster, make_endpoints, make_listener, make_resource, make_routes

SEEDS = st.integers(0, 2**32)
RESOURCES = [
    make_resource(LISTENER, "n", "1", make_listener("n", "n")),
    make_resource(ROUTE, "n", "1", make_routes("n", "n", "m")),
    make_resource(CLUSTER, "n", "1", make_cluster("n")),
    make_resource(ENDPOINTS, "n", "1", make_endpoints("n", ("10.0.0.1", 80), ("10.0.0.2", 80))),
]


@given(st.lists(st.binary(max_size=300), max_size=10), SEEDS)
def test_any_chunking_gives_the_same_messages(messages: list[bytes], seed: int) -> None:
    data = b"".join(encode_message(message) for message in messages)
    deframer, rng, found = Deframer(), random.Random(seed), []
    while data:
        size = rng.choice([1, 2, 5, 6, 50, 1_000])
        found += deframer.feed(data[:size])
        data = data[size:]
    assert found == messages


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_any_bytes_as_frames(pieces: list[bytes]) -> None:
    deframer = Deframer()
    try:
        for piece in pieces:
            deframer.feed(piece)
    except FramingError:
        return


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_response(data: bytes) -> None:
    try:
        decode_response(data)
    except XdsError:
        return


@settings(max_examples=500, deadline=None)
@given(SEEDS)
def test_a_damaged_response(seed: int) -> None:
    """Also what is in its resources: each is a value or a fault with a text."""
    rng = random.Random(seed)
    resource = rng.choice(RESOURCES)
    body = resource.body
    for _ in range(rng.randint(0, 4)):
        body = mutate(body, rng)
    data = encode_response(resource.type_url, [Resource("n", "2", resource.type_url, body)])
    for _ in range(rng.randint(0, 1)):
        data = mutate(data, rng)
    tree = Tree(Delta())
    tree.want("n")
    try:
        response = decode_response(data)
    except XdsError:
        return
    for found in response.resources:
        if found.type_url in TYPES:
            assert isinstance(tree.put(found), str)
    tree.settle()


@settings(max_examples=300)
@given(st.sampled_from(TYPES), st.binary(max_size=100))
def test_any_bytes_as_a_resource(type_url: str, body: bytes) -> None:
    tree = Tree(Delta())
    tree.want("n")
    assert isinstance(tree.put(Resource("n", "1", type_url, body)), str)
    tree.settle()


@settings(max_examples=300, deadline=None)
@given(SEEDS)
@example(0)
def test_a_damaged_conversation(seed: int) -> None:
    """No exception leaves the call, however its server speaks; and it goes on or ends with a reason."""
    rng = random.Random(seed)
    voice = Voice(is_client=False)
    data = voice.opening() + voice.headers(1, GRPC_RESPONSE)
    data += voice.data(1, encode_message(encode_response(LISTENER, RESOURCES[:1])))
    data += voice.window(0, 100) + voice.ping() + voice.headers(1, [("grpc-status", "0")], end=True)
    for _ in range(rng.randint(1, 5)):
        data = mutate(data, rng)
    call = Call("control:4150", tls=False)
    call.start()
    tail = b""
    while data and not call.closed:
        size = rng.choice([1, 9, 30, 1_000])
        buffer = bytearray(tail + data[:size])
        taken = call.feed(buffer, 0, len(buffer), 1.0)
        tail, data = bytes(buffer[taken:]), data[size:]
        if call.is_writable():
            call.send_message(b"x" * rng.choice([0, 10, 100_000]))
        while call.messages:
            call.take_message()
        call.take() if call.out else None
    call.lost("gone", 1.0)
    assert call.failure


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_cache(seed: int, tmp_path: Path) -> None:
    path = str(tmp_path / "xds")
    rng = random.Random(seed)
    write_cache(path, "ns", RESOURCES)
    file = Path(path)
    data = file.read_bytes()
    damaged = mutate(data, rng)
    file.write_bytes(damaged)
    if damaged == data:
        assert read_cache(path, "ns") == RESOURCES
        return
    with pytest.raises(CacheError):
        read_cache(path, "ns")


@given(
    st.binary(max_size=300)
    | st.lists(st.binary(max_size=50), max_size=5).map(
        lambda messages: b"".join(encode_message(message) for message in messages)
    )
)
def test_a_cache_with_a_right_checksum_over_anything(payload: bytes) -> None:
    try:
        read_payload(payload, "ns")
    except CacheError:
        return
