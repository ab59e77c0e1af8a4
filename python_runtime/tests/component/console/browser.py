"""A headless Chromium over the DevTools protocol: one page, what it shows, and pictures of it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--no-default-browser-check", "--no-proxy-server", "--mute-audio"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--remote-debugging-port=0"),
)
START_SECONDS = 60


class Browser:
    """Use as an async context manager; `directory` is an empty profile of its own."""

    def __init__(self, directory: Path) -> None:
        self.errors: list[str] = []
        """What the page's console and the security policy complained of."""
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        program = shutil.which("chromium")
        assert program, "chromium is missing: scripts/bootstrap --test installs it"
        self._directory.mkdir()
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, *QUIET, f"--user-data-dir={self._directory}", "about:blank"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(await self._page(), max_msg_size=64 << 20)
        self._reader = asyncio.create_task(self._read(), name="devtools")
        for domain in ("Page", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()
        await self._session.close()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self._process.wait, 15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                await asyncio.to_thread(self._process.wait)

    async def _page(self) -> str:
        """The socket of the one page."""
        told = self._directory / "DevToolsActivePort"
        deadline = time.monotonic() + START_SECONDS
        while not (told.exists() and told.read_text()):
            assert time.monotonic() < deadline, (self._directory / "log").read_text()
            await asyncio.sleep(0.05)
        port = told.read_text().splitlines()[0]
        while True:
            async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            if pages:
                url: str = pages[0]["webSocketDebuggerUrl"]
                return url
            assert time.monotonic() < deadline, "chromium has no page"
            await asyncio.sleep(0.05)

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Runtime.exceptionThrown":
                self.errors.append(str(told["params"]["exceptionDetails"]))
            elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.errors.append(str(told["params"]["entry"]))

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and what it answers."""
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        told = await asyncio.wait_for(answer, 60)
        assert "error" not in told, (method, told["error"])
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, url: str) -> None:
        """Go there."""
        await self.send("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """What JavaScript makes of an expression, promises awaited."""
        told = await self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, expression: str, seconds: float = 30) -> Any:
        """Ask until the expression is true; gives its value, of an element that it is there."""
        deadline = time.monotonic() + seconds
        asked = f"((found) => found instanceof Element ? true : found)({expression})"
        while not (found := await self.value(asked)):
            if time.monotonic() > deadline:
                page = await self.value("document.body.innerText")
                raise AssertionError(
                    f"{expression}: not within {seconds} s; the page:\n{page}\n{self.errors}"
                )
            await asyncio.sleep(0.1)
        return found

    async def text(self, selector: str) -> str:
        """The text that an element shows."""
        return str(await self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def key(self, name: str) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=KEYS[name]
            )

    async def size(self, width: int, height: int, scale: float = 1.0) -> None:
        """The window, in CSS pixels; narrow ones are phones."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    async def scheme(self, name: str) -> None:
        """What the system prefers: light or dark."""
        await self.send(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}]
        )

    async def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        told = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


KEYS = {"Tab": 9, "Enter": 13, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, "End": 35}
