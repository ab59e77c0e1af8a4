"""A whole EdgeSite on a free port, over TLS, for the tests of this folder."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
from tests.edgesite.driven import DrivenClock, Driver

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import run_modules
from edgelab.edgesite import app
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.edgesite.app import Site, running_store
from edgelab.edgesite.settings import Settings

NETWORK = ipaddress.IPv4Network("10.96.0.0/16")


@dataclass
class Client:
    """Requests with the administrator's certificate, or with none and a token."""

    site: Site
    base: str
    admin: aiohttp.ClientSession
    anonymous: aiohttp.ClientSession
    directory: Path

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Status and decoded answer."""
        token, media = options.get("token"), options.get("type", "application/json")
        session = self.anonymous if token is not None else self.admin
        headers = {"Accept": options.get("accept", "application/json")} | options.get("headers", {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if isinstance(body, str):
            arguments = {"data": body, "headers": {**headers, "Content-Type": media}}
        elif body is not None:
            data = json.dumps(body)
            arguments = {"data": data, "headers": {**headers, "Content-Type": media}}
        else:
            arguments = {"headers": headers}
        async with session.request(method, self.base + path, **arguments) as response:
            text = await response.text()
            try:
                return response.status, json.loads(text)
            except ValueError:
                return response.status, text


def settings(directory: Path, *, port: int = 0, **more: Any) -> Settings:
    host, kubeconfig = "127.0.0.1", directory / "kubeconfig"
    data_dir = more.pop("data_dir", directory / "data")
    return Settings(data_dir, host, port, [host], kubeconfig, NETWORK, **more)


def session(site: Site, directory: Path, *, certificate: bool) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cadata=site.keys.ca_pem.decode())
    if certificate:
        tls = directory / "data/tls"
        context.load_cert_chain(tls / "admin.crt", tls / "admin.key")
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0))


@cache
def types() -> Catalogue:
    """The built-in types, which no site changes: decoded once for all sites of a process."""
    return Catalogue()


@asynccontextmanager
async def running(directory: Path, clock: Clock = SYSTEM, **more: Any) -> AsyncIterator[Client]:
    """A site in a directory, until the block ends."""
    with mock.patch.object(app, "Catalogue", types):
        site = Site(settings(directory, **more), clock)
    try:
        async with running_store(site.store):
            await site.start()
            modules = asyncio.create_task(run_modules(site.modules()), name="modules")
            base = f"https://127.0.0.1:{site.port}"
            async with (
                session(site, directory, certificate=True) as admin,
                session(site, directory, certificate=False) as anonymous,
            ):
                yield Client(site, base, admin, anonymous, directory)
            modules.cancel()
            with suppress(asyncio.CancelledError):
                await modules
    finally:
        site.stop()


@asynccontextmanager
async def driven(directory: Path, **more: Any) -> AsyncIterator[tuple[Client, Driver]]:
    """The same on a driven loop, and the clock by which to let time pass."""
    async with running(directory, DrivenClock(), **more) as client:
        yield client, Driver()
