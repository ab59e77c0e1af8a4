"""EdgeSite, CloudCore, EdgeCore and a mapper, each a process of its own, and kubectl."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml
from tests.component.cloudcore.site import cloudcore, edgesite
from tests.component.cloudcore.test_chain import BIN, Place, free_port
from tests.component.edgesite.serving import KUBECTL
from tests.edgecore.cloud_peer import configuration
from tests.edgecore.processes import Process, edgecore, spawn

SECONDS = 60


class Chain:
    """What a user has: kubectl, and the mapper's log."""

    def __init__(self, place: Place, mapper: Process) -> None:
        self.place, self.mapper = place, mapper

    async def kubectl(self, *words: str, text: str = "") -> str:
        return await asyncio.to_thread(_run, [KUBECTL, "--kubeconfig", self.place.kubeconfig, *words], text)

    async def converts(self) -> bool:
        """Whether the API takes devices of v1alpha2 as well."""
        how = "jsonpath={.items[*].spec.conversion.strategy}"
        kinds = ("devices", "devicemodels", "devicestatuses")
        names = [f"{kind}.devices.kubeedge.io" for kind in kinds]
        found = await self.kubectl("get", "crd", *names, "-o", how)
        return found.split() == ["Webhook"] * len(kinds)

    async def apply(self, *documents: dict[str, Any]) -> None:
        await self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(documents))

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.kubectl("get", kind, name, "-o", "json"))
        return found

    async def patch(self, kind: str, name: str, patch: Any) -> None:
        how = "json" if isinstance(patch, list) else "merge"
        await self.kubectl("patch", kind, name, "--type", how, "-p", json.dumps(patch))

    async def reported(self, device: str) -> dict[str, str]:
        """The values that the cloud has of a device."""
        found = await self.kubectl("get", "devicestatus", device, "-o", "json", "--ignore-not-found")
        twins = ((json.loads(found) if found else {}).get("status") or {}).get("twins") or []
        return {twin["propertyName"]: twin["reported"]["value"] for twin in twins if "reported" in twin}

    async def reports(self, device: str, check: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """The first values of a device for which `check` is true."""
        found: dict[str, str] = {}
        try:
            async with asyncio.timeout(SECONDS):
                while not check(found := await self.reported(device)):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{found}\n{self.mapper.output()}") from None
        return found


@contextlib.asynccontextmanager
async def standing(directory: Path, mapper: str) -> AsyncIterator[Chain]:
    """All of them until the block ends; `mapper` is a package of edgelab.mappers."""
    async with contextlib.AsyncExitStack() as stack:
        place = stack.enter_context(edgesite(directory))
        hooks = {"enable": True, "address": "127.0.0.1", "port": free_port()}
        stack.enter_context(cloudcore(place, edgelab={"webhooks": hooks}))
        process = await stack.enter_async_context(edgecore(_edge(directory / "edge", place)))
        await process.wait_for_line("connected to CloudCore")
        chain = Chain(place, await stack.enter_async_context(_mapper(directory, mapper)))
        async with asyncio.timeout(SECONDS):
            while not await chain.converts():
                await asyncio.sleep(0.1)
        yield chain


def _edge(directory: Path, place: Place) -> Path:
    directory.mkdir()
    files = {"tlsCaFile": "ca/rootCA.crt", "tlsCertFile": "certs/server.crt"}
    files |= {"tlsPrivateKeyFile": "certs/server.key"}
    token = _run([BIN / "keadm", "gettoken", "--kube-config", place.kubeconfig])
    (directory / "bootstrap.conf").write_text(token)
    hub = {
        "httpServer": f"https://127.0.0.1:{place.https}",
        "websocket": {"server": f"127.0.0.1:{place.nodes}"},
        **{name: str(directory / path) for name, path in files.items()},
    }
    return configuration(directory, place.nodes, edgeHub=hub)


@contextlib.asynccontextmanager
async def _mapper(directory: Path, name: str) -> AsyncIterator[Process]:
    config = {
        "grpc_server": {"socket_path": str(directory / "mapper.sock")},
        "common": {"edgecore_sock": str(directory / "edge" / "dmi.sock"), "http_port": 0},
    }
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    command = (sys.executable, "-m", f"edgelab.mappers.{name}", "--config-file", str(path))
    process = await spawn(directory, "mapper", *command)
    try:
        await process.wait_for_line("registered")
        yield process
    finally:
        if process.child.returncode is None:
            process.child.terminate()
            async with asyncio.timeout(30):
                assert await process.child.wait() == 0, process.output()
    assert "Traceback" not in process.output()


def _run(command: list[str | Path], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
