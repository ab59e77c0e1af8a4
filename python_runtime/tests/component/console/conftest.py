"""One lab and one browser for all tests of a file; each test of the page begins on it, wide and light."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.component.console.browser import Browser
from tests.component.console.lab import Lab
from tests.component.edgesite.serving import Server
from tests.component.twinexporter.conftest import VictoriaMetrics


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where logs and pictures lie."""
    return tmp_path_factory.mktemp("console")


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[Lab]:
    """Control plane, database, and a console that has read everything."""
    server, database = Server(folder), VictoriaMetrics(folder / "vm")
    lab = Lab(folder, server, database)
    try:
        server.start()
        database.start()
        lab.prepare()
        lab.start()
        lab.until_health(200)
        yield lab
    finally:
        lab.stop()
        database.stop()
        server.kill(signal.SIGTERM)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(folder: Path) -> AsyncIterator[Browser]:
    async with Browser(folder / "chromium") as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(lab: Lab, browser: Browser) -> Browser:
    browser.errors.clear()
    await browser.size(1280, 900)
    await browser.scheme("light")
    await browser.open(lab.url)
    await browser.until("document.querySelector('#link')?.dataset.state === 'live'")
    return browser
