"""Programs that know nothing of the mesh, through two sidecars: they work, and requests are balanced one by one."""

from __future__ import annotations

import ssl
import sys

import pytest

from tests.e2e.processes import eventually
from tests.e2e.transparent.app import ECHO, GRPC, HTTP, MAIL, TLS
from tests.e2e.transparent.scene import WEB, Scene, ask, call, run
from tests.requirement import require

BOTH = {"one", "two"}


@pytest.fixture(params=(4, 6), ids=("ipv4", "ipv6"))
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def expect_both(scene: Scene, target: str, authority: str = "") -> None:
    """One connection's requests reach both pods; the first answer of each, which begins a connection, may be slow."""
    eventually(lambda: set(call(scene.client, target, 100, authority)) == BOTH, "answers of both", 60)


def test_grpc_to_a_service_is_balanced_request_by_request(scene: Scene, version: int) -> None:
    expect_both(scene, f"{bracket(WEB[version])}:{GRPC}")


def test_http_1_to_a_service_is_balanced_request_by_request(scene: Scene, version: int) -> None:
    def answers() -> set[str]:
        return {ask(scene.client, WEB[version], HTTP, f"/{number}")[1] for number in range(40)}

    eventually(lambda: answers() == BOTH, "answers of both", 60)


def test_raw_tcp_to_a_service(scene: Scene, version: int) -> None:
    def talk() -> str:
        with scene.client.connect((WEB[version], ECHO)) as sock:
            sock.sendall(b"\x00hello")
            assert sock.recv(100) == b"\x00hello"
            sock.shutdown(1)
            return sock.recv(100).decode()

    eventually(lambda: {talk() for _ in range(20)} == BOTH, "answers of both", 60)


def test_mail_whose_server_speaks_first(scene: Scene) -> None:
    program = """
import smtplib, sys
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=30) as client:
    client.sendmail("me@shop", ["you@shop"], "Subject: hello")
    print("sent")
"""
    done = run(scene.client, [sys.executable, "-c", program, WEB[4], str(MAIL)])
    assert done.stdout == "sent\n", done.stderr
    assert scene.meshed["client"].metric('gossamer_detections_total{direction="outbound",protocol="opaque"') > 0


def test_tls_is_untouched_inside(scene: Scene, version: int) -> None:
    """The certificate that the client sees is the server's own."""
    trusting = ssl.create_default_context(cafile=str(scene.certificate))
    with trusting.wrap_socket(scene.client.connect((WEB[version], TLS)), server_hostname="web") as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"
    assert scene.meshed["client"].metric('gossamer_detections_total{direction="outbound",protocol="tls"') > 0


def test_a_pod_s_own_address_is_that_pod(scene: Scene, version: int) -> None:
    for name in BOTH:
        address = scene.meshed[name].pod.addresses[version]
        assert set(call(scene.client, f"{bracket(address)}:{GRPC}", 5)) == {name}
        assert ask(scene.client, address, HTTP)[1] == name


def test_a_pod_in_the_name_of_its_headless_service_is_balanced(scene: Scene) -> None:
    address = scene.meshed["one"].pod.addresses[4]
    expect_both(scene, f"{address}:{GRPC}", f"db.shop:{GRPC}")


def test_an_authority_leads_nowhere_else(scene: Scene) -> None:
    """Neither out of a Service nor to another one."""
    address = scene.meshed["one"].pod.addresses[4]
    assert set(call(scene.client, f"{address}:{GRPC}", 5, "nowhere.example:80")) == {"one"}
    assert ask(scene.client, address, HTTP, Host="outside.example")[1] == "one"


def test_what_is_outside_of_the_mesh_is_reached_as_ever(scene: Scene, version: int) -> None:
    address = scene.outside.addresses[version]
    assert call(scene.client, f"{bracket(address)}:{GRPC}", 3) == ["outside"] * 3
    assert ask(scene.client, address, HTTP)[1] == "outside"
    with scene.client.connect((address, ECHO)) as sock:
        sock.sendall(b"\x01")
        assert sock.recv(10) == b"\x01"


def test_from_outside_into_the_mesh(scene: Scene, version: int) -> None:
    address = scene.meshed["two"].pod.addresses[version]
    assert call(scene.outside, f"{bracket(address)}:{GRPC}", 3) == ["two"] * 3
    assert ask(scene.outside, address, HTTP)[1] == "two"


def test_curl_with_both_versions_of_http(scene: Scene) -> None:
    require("curl", "curl is missing: apt-get install curl")
    curl = ["curl", "--silent", "--show-error", "--max-time", "20", "--include"]
    done = run(scene.client, [*curl, "--http1.1", f"http://{WEB[4]}:{HTTP}/"])
    assert (done.returncode, done.stdout[:12]) == (0, "HTTP/1.1 200"), done.stderr
    message = scene.folder / "message"
    message.write_bytes(b"\0\0\0\0\0")
    headers = ["--header", "content-type: application/grpc", "--header", "te: trailers"]
    http2 = ["--http2-prior-knowledge", *headers, "--data-binary", f"@{message}"]
    done = run(scene.client, [*curl, *http2, f"http://{WEB[4]}:{GRPC}/e2e.Echo/unary"])
    assert (done.returncode, done.stdout[:10]) == (0, "HTTP/2 200"), done.stderr
    assert "grpc-status: 0" in done.stdout


def test_a_web_socket(scene: Scene) -> None:
    program = """
import asyncio, aiohttp, sys
async def main():
    async with aiohttp.ClientSession() as session, session.ws_connect(sys.argv[1]) as socket:
        for number in range(3):
            await socket.send_str(f"hello {number}")
            print(await socket.receive_str())
asyncio.run(main())
"""
    done = run(scene.client, [sys.executable, "-c", program, f"http://{WEB[4]}:{HTTP}/ws"])
    assert done.returncode == 0, done.stderr
    assert [line.partition(": ")[2] for line in done.stdout.splitlines()] == ["hello 0", "hello 1", "hello 2"]


def test_both_sidecars_count(scene: Scene) -> None:
    ask(scene.client, WEB[4], HTTP)
    client = scene.meshed["client"]
    assert client.metric('request_total{direction="outbound"') > 0
    assert client.metric("gossamer_failures_total") == 0
    assert sum(scene.meshed[name].metric('request_total{direction="inbound"') for name in BOTH) > 0
