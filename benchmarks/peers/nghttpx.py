"""nghttpx: one worker thread, HTTP/2 on both sides."""

from __future__ import annotations

from benchmarks.peers.peer import GRPC, Peer, Place, first_output, program


def command(place: Place) -> list[str]:
    # An empty configuration file, or it reads the machine's.
    conf = place.write("nghttpx.conf", "")
    backends = [f"--backend=127.0.0.1,{port};;proto=h2" for port in place.backends]
    return [
        binary(),
        f"--conf={conf}",
        f"--frontend=127.0.0.1,{place.port};no-tls",
        *backends,
        "--workers=1",
        "--single-process",
        "--backlog=1024",
        "--errorlog-file=/dev/stderr",
        "--log-level=WARN",
        f"--pid-file={place.folder}/nghttpx.pid",
    ]


def binary() -> str:
    return program("nghttpx", "nghttp2-proxy")


def version() -> str:
    return first_output([binary(), "--version"]).split("/")[-1]


def prepare() -> None:
    binary()


PEER = Peer("nghttpx", "nghttpx", (GRPC,), prepare, version, command)
