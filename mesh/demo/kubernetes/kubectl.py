"""kubectl, with which the demo does in a cluster what its user could: the context and the rights are the user's."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from mesh.demo.process import LINE_LIMIT_BYTES, DemoError


@asynccontextmanager
async def running(*arguments: str, is_fed: bool = False) -> AsyncIterator[Process]:
    """It does not outlive this; a Ctrl-C of the terminal is not for it."""
    try:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            stdin=PIPE if is_fed else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            limit=LINE_LIMIT_BYTES,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise DemoError(
            "kubectl is not on the PATH: install it, it is what the demo speaks to the cluster with"
        ) from None
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def kubectl(*arguments: str, text: str = "") -> str:
    async with running(*arguments, is_fed=True) as process:
        out, err = await process.communicate(text.encode())
    if process.returncode:
        raise DemoError(f"kubectl {' '.join(arguments[:2])}: {err.decode(errors='replace').strip()}")
    return out.decode()


async def get(*arguments: str) -> Any:
    return json.loads(await kubectl("get", *arguments, "--output=json"))


async def apply(objects: Iterable[dict[str, Any]]) -> None:
    await kubectl("apply", "--filename=-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects]}))


async def follow(*arguments: str) -> AsyncIterator[str]:
    """The lines of a container's log, to its end."""
    async with running("logs", "--follow", *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        async for line in process.stdout:
            yield line.decode(errors="replace")
        if await process.wait():
            raise DemoError(f"kubectl logs: {(await process.stderr.read()).decode(errors='replace').strip()}")
