from __future__ import annotations

from urllib.parse import unquote

import hpack
import pytest

from proxy.relay import failure
from proxy.relay.failure import FAILURES, Failure, encode_grpc_response, encode_grpc_trailers, encode_http_response


def decode(block: bytes) -> dict[str, str]:
    return {str(name): str(value) for name, value in hpack.Decoder().decode(block)}


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.reason)
def test_grpc_gets_a_trailers_only_response(row: Failure) -> None:
    found = decode(encode_grpc_response(row, "detail"))
    assert found[":status"] == "200"
    assert found["content-type"] == "application/grpc"
    assert found["grpc-status"] == str(row.grpc_status)
    assert found["gossamer-error"] == row.reason
    assert unquote(found["grpc-message"]) == f"gossamer: {row.text}: detail"


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.reason)
def test_others_get_a_status_and_a_text(row: Failure) -> None:
    block, body = encode_http_response(row, "")
    found = decode(block)
    assert found[":status"] == str(row.http_status)
    assert found["gossamer-error"] == row.reason
    assert int(found["content-length"]) == len(body)
    assert body == f"gossamer: {row.text}\n".encode()


def test_trailers_have_no_pseudo_header() -> None:
    assert not [name for name in decode(encode_grpc_trailers(failure.TIMEOUT, "")) if name.startswith(":")]


@pytest.mark.parametrize("detail", ["a\r\nb: c", "100%", "ä€\x00\x7f", '{}<>"\\^`'])
def test_whatever_the_detail_the_message_is_a_legal_value(detail: str) -> None:
    found = decode(encode_grpc_response(failure.NO_ROUTE, detail))["grpc-message"]
    assert all(" " <= character <= "~" for character in found)
    assert unquote(found).endswith(detail)


def test_a_long_detail_is_cut() -> None:
    """It may hold what a client sent, and must fit into one header block."""
    assert len(encode_grpc_response(failure.NO_ROUTE, "%" * 60_000)) < 2_000
    assert len(encode_http_response(failure.NO_ROUTE, "x" * 60_000)[1]) < 2_000


@pytest.mark.parametrize(
    ("http", "grpc"), [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (503, 14), (500, 2), (200, 2)]
)
def test_http_statuses_as_grpc_reads_them(http: int, grpc: int) -> None:
    assert failure.grpc_status_of_http(http) == grpc


def test_reasons_are_labels_and_unique() -> None:
    reasons = [row.reason for row in FAILURES]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.replace("-", "").isalpha() and reason.islower() for reason in reasons)
