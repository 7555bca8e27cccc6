"""The application on a real port, and Node's clients against it."""

import asyncio
import fcntl
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from crm_es.serving.web import Server

NODE = Path(__file__).parent.parent / "node"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")


def need_node() -> None:
    """Skip where there is no Node; install what package-lock.json names where it is not there yet."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("no Node.js here")
    with (NODE / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one worker installs
        if not (NODE / "node_modules" / ".package-lock.json").exists():
            subprocess.run(INSTALL, cwd=NODE, check=True)  # noqa: S603


async def node(*command: str, seconds: float = 600) -> tuple[int, str]:
    """Run a script or tool of tests/node: its exit code and all it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=NODE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, printed.decode()


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """`host:port` of the application, whose lifespan runs already."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        lifespan="off",
        log_level="warning",
        ws="websockets-sansio",
        timeout_keep_alive=3_600,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving
