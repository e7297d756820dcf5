"""What a machine does to a sidecar: no descriptors left, a full disk, a log that nobody reads, a clock that jumps.

Each with the real process under load; a backend that accepts and never answers, and reloads under load, are in
test_grpc_failures.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from tests.e2e.ads import Ads
from tests.e2e.calls import Load, ask, eventually, open_channel, path
from tests.e2e.life import NAME, call
from tests.e2e.processes import HOST, GrpcBackend, free_port
from tests.e2e.proxy_process import Proxy, command
from tests.requirement import require

pytestmark = pytest.mark.timeout(60)

HALT_S = 6.0  # longer than a connection may take to be made, or to say its first word


@contextmanager
def wrapped(*wrapper: str) -> Iterator[None]:
    """Proxies that start within have this before their command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOSSAMER_E2E_PROXY", shlex.join([*wrapper, *command()]))
        yield


def connect(stack: ExitStack, proxy: Proxy, count: int) -> list[socket.socket]:
    return [stack.enter_context(socket.create_connection((HOST, proxy.port))) for _ in range(count)]


def has_closed(proxy: Proxy) -> bool:
    """Whether any connection of the proxy has ended so far."""
    return "tcp_close_total{" in proxy.admin_request("/metrics")[1]


def addresses(backends: Sequence[GrpcBackend]) -> list[str]:
    return [backend.address for backend in backends]


def test_the_table_of_descriptors_has_grown_before_anybody_is_served(backends: list[GrpcBackend]) -> None:
    """As large as it may get, or 16,384: with threads, the kernel would halt the event loop each time that it grows."""
    with Proxy(addresses(backends)) as proxy:
        status = Path(f"/proc/{proxy.popen.pid}/status").read_text()
        (size,) = re.findall(r"^FDSize:\s+(\d+)$", status, re.MULTILINE)
        assert int(size) >= min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 16_384)


async def test_few_descriptors_from_the_start(backends: list[GrpcBackend]) -> None:
    """Silent clients take what is left of them, never what endpoints and the admin port need."""
    require("prlimit", "prlimit (apt-get install util-linux)")
    with wrapped("prlimit", "--nofile=80:80"), Proxy(addresses(backends)) as proxy, ExitStack() as stack:
        async with open_channel(proxy.address) as channel, Load(channel) as load:
            await load.answered(20)
            connect(stack, proxy, 300)
            await load.answered(200)
            assert proxy.admin_status("/live") == 200
        assert load.report() == []
        assert "descriptor" not in proxy.stderr


async def test_no_descriptor_left(backends: list[GrpcBackend]) -> None:
    """Who is connected is served on; it is said once; and after it all is as before."""
    with Proxy(addresses(backends)) as proxy, ExitStack() as stack:
        async with open_channel(proxy.address) as channel, Load(channel) as load:
            await load.answered(20)
            resource.prlimit(proxy.popen.pid, resource.RLIMIT_NOFILE, (48, 48))
            connect(stack, proxy, 100)
            await eventually(lambda: "no file descriptor is left (the limit is 48)" in proxy.stderr, "a line about it")
            connect(stack, proxy, 100)
            await load.answered(400)
            stack.close()
            await eventually(lambda: "there are file descriptors again" in proxy.stderr, "the second line")
            async with open_channel(proxy.address) as another:
                assert await ask(another)
            assert proxy.admin_status("/live") == 200
        assert load.report() == []
        assert proxy.stderr.count("descriptor") == 2


@pytest.mark.parametrize("sink", ["a full disk", "a pipe that nobody reads"])
async def test_a_log_that_cannot_be_written(sink: str, backends: list[GrpcBackend], tmp_path: Path) -> None:
    """The first line is already one too many: that it listens; then that an endpoint is not there."""
    if sink == "a full disk":
        script = 'exec "$@" >/dev/full 2>/dev/full'
    else:
        os.mkfifo(fifo := tmp_path / "log")
        script = f'exec 2<>{fifo} >&2; head -c 65536 /dev/zero; exec "$@"'
    to = [*addresses(backends), f"{HOST}:{free_port()}"]
    with wrapped("sh", "-euc", script, "sh"), Proxy(to) as proxy:
        async with open_channel(proxy.address) as channel, Load(channel) as load:
            await load.answered(200)
            assert proxy.admin_status("/live") == 200
        assert load.report() == []


def can_mount() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


async def test_a_cache_on_a_full_disk(backends: list[GrpcBackend], tmp_path: Path) -> None:
    """It is said once, and nothing else happens."""
    folder = tmp_path / "disk"
    folder.mkdir()
    script = f'mount -t tmpfs -o size=64k none {folder}; head -c 1M /dev/zero >{folder}/full || exec "$@"'
    require(can_mount(), "the right to make a mount namespace (root)")
    with wrapped("unshare", "--mount", "sh", "-uc", script, "sh"):
        async with Ads() as ads:
            ads.put_service(NAME, *((HOST, backend.port) for backend in backends))
            options = ["--control-plane", f"{HOST}:{ads.port}", "--cache", str(folder / "cache")]
            proxy = Proxy(options=options)
            await asyncio.to_thread(proxy.__enter__)
            try:
                async with call(proxy) as channel, Load(channel) as load:
                    said = "cannot be written: no space left on device"
                    await eventually(lambda: said in proxy.stderr, "a line about the cache")
                    await load.answered(200)
                    ads.put_service(NAME, (HOST, backends[0].port))
                    await load.answered_by("a", 100)
                assert load.report() == []
                assert proxy.stderr.count("cannot be written") == 1
            finally:
                await asyncio.to_thread(proxy.__exit__, None, None, None)


def build_clock(folder: Path) -> Path:
    """A library that moves the wall clock of a process."""
    require("cc", "cc, a C compiler (apt-get install gcc libc6-dev)")
    source, library = Path(__file__).with_name("wall_clock.c"), folder / "wall_clock.so"
    subprocess.run(["cc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def find_stamp(log: str, word: str) -> datetime:
    """The time of the first line with that word."""
    line = next(line for line in log.splitlines() if word in line)
    return datetime.fromisoformat(line.partition("Z ")[0] + "+00:00")


async def test_a_clock_that_jumps(backends: list[GrpcBackend], tmp_path: Path) -> None:
    """A month ahead, two months back: no call fails, no connection ends; only the log has the machine's time."""
    library, clock = build_clock(tmp_path), tmp_path / "clock"
    clock.write_bytes(bytes(8))
    with wrapped("env", f"LD_PRELOAD={library}", f"WALL_CLOCK={clock}"), Proxy(addresses(backends)) as proxy:
        async with open_channel(proxy.address) as channel, Load(channel, delay_ms=50) as load:
            chat = channel.stream_stream(path("chat"))(timeout=50)
            for days in (30, -30):
                with clock.open("r+b") as file:
                    file.write((days * 86_400).to_bytes(8, "little", signed=True))
                await load.answered(250)  # about a second, in which everything is swept
                await chat.write(b"still")
                assert await chat.read() == b"still"
            await chat.done_writing()
            assert await chat.code() is grpc.StatusCode.OK
            assert not has_closed(proxy)
        assert load.report() == []
        proxy.stop()
        assert (datetime.now(UTC) - find_stamp(proxy.stderr, "draining")).days == 30


async def test_a_halt(backends: list[GrpcBackend]) -> None:
    """SIGSTOP, as of a machine that is suspended: timers fire late, and all connections live on."""
    with Proxy(addresses(backends)) as proxy:
        async with open_channel(proxy.address) as channel, open_channel(proxy.address) as idle:
            assert await ask(idle)
            chat = channel.stream_stream(path("chat"))(timeout=50)
            await chat.write(b"before")
            assert await chat.read() == b"before"
            under_way = [asyncio.ensure_future(ask(channel, "slow", b"1000")) for _ in range(20)]
            await asyncio.sleep(0.3)
            proxy.signal(signal.SIGSTOP)
            await asyncio.sleep(HALT_S / 2)
            late = [asyncio.ensure_future(ask(channel)) for _ in range(20)]
            await asyncio.sleep(HALT_S / 2)
            proxy.signal(signal.SIGCONT)
            assert len(await asyncio.gather(*under_way, *late)) == 40
            await chat.write(b"after")
            assert await chat.read() == b"after"
            await chat.done_writing()
            assert await chat.code() is grpc.StatusCode.OK
            assert await ask(idle)
            assert not has_closed(proxy)
        await eventually(lambda: has_closed(proxy), "the metric to show the closed channels")
