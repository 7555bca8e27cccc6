"""A headless Chromium driven over its DevTools protocol: one page, every request it makes written down."""

import asyncio
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection

from tests.sockets import websocket
from tests.waiting import PATIENCE_SECONDS

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-extensions", "--remote-debugging-port=0", "--window-size=1600,1000",
)  # fmt: skip


def browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class Page:
    """`requests` are the addresses its page and workers asked for; `faults` what it wrote as errors and exceptions."""

    def __init__(self, socket: ClientConnection) -> None:
        self.requests: list[str] = []
        self.faults: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._session: str | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._waiting.pop(message["id"]).set_result(message)
            else:
                self._heard(message["method"], message["params"])

    async def attach(self) -> None:
        opened = await self.send("Target.createTarget", url="about:blank")
        attached = await self.send("Target.attachToTarget", targetId=opened["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self._watch(attached["sessionId"])
        await self.send("Page.enable")

    async def go(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """What the expression is in the page."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """The expression's value once it is true."""
        found = None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (found := await self.value(expression)):  # noqa: ASYNC110  # a page has no event for it
                    await asyncio.sleep(0.1)
        assert found, f"never came true: {expression}; {self.faults}; {await self.value('document.body.innerText')}"
        return found

    async def click(self, selector: str, expression: str) -> None:
        """Until the expression is true: a page may show a button before it does anything."""
        await self.until(f"{expression} || (document.querySelector({json.dumps(selector)})?.click(), false)")

    async def send(self, method: str, session: str | None = None, **params: Any) -> Any:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        if (session := session or self._session) is not None:
            message["sessionId"] = session
        await self._socket.send(json.dumps(message))
        answer = await asyncio.wait_for(self._waiting[number], PATIENCE_SECONDS)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _heard(self, method: str, params: Any) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(params["url"])
            case "Runtime.exceptionThrown":
                self.faults.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.faults.append(params["entry"]["text"])
            case "Target.attachedToTarget":
                task = asyncio.create_task(self._watch(params["sessionId"]))
                self._sessions.add(task)
                task.add_done_callback(self._sessions.discard)

    async def _watch(self, session: str) -> None:
        """A page, and every frame and worker it starts, from its first request on."""
        await self.send("Network.enable", session)
        await self.send("Runtime.enable", session)
        await self.send("Log.enable", session)
        await self.send("Target.setAutoAttach", session, autoAttach=True, waitForDebuggerOnStart=True, flatten=True)
        await self.send("Runtime.runIfWaitingForDebugger", session)


@asynccontextmanager
async def page() -> AsyncIterator[Page]:
    """An empty page of a browser of its own."""
    name = browser()
    assert name
    with tempfile.TemporaryDirectory(prefix="crm-es-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            name, *FLAGS, f"--user-data-dir={profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with websocket(await _devtools(Path(profile)), max_size=None) as socket:
                opened = Page(socket)
                listening = asyncio.create_task(opened.listen())
                await opened.attach()
                yield opened
                listening.cancel()
        finally:
            process.terminate()
            await process.wait()


async def _devtools(profile: Path, seconds: float = PATIENCE_SECONDS) -> str:
    told = profile / "DevToolsActivePort"
    async with asyncio.timeout(seconds):
        while not (told.exists() and len(told.read_text().splitlines()) > 1):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    port, path = told.read_text().splitlines()[:2]
    return f"ws://127.0.0.1:{port}{path}"
