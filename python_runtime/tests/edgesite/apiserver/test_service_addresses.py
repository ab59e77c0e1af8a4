"""IPAddresses of Services that an older version has left, and of those that somebody deletes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.edgesite.apiserver.running import Client, running

from edgelab.edgesite.apiserver.serviceaddresses import ServiceAddresses

ADDRESS = "/apis/networking.k8s.io/v1/ipaddresses"
SERVICES = "/api/v1/namespaces/default/services"


async def parent(client: Client, address: str) -> str:
    status, found = await client.call("GET", f"{ADDRESS}/{address}")
    return str(found["spec"]["parentRef"]["name"]) if status == 200 else ""


async def soon(client: Client, address: str) -> str:
    """Its parent, as soon as there is one."""
    async with asyncio.timeout(10):
        while not (found := await parent(client, address)):
            await asyncio.sleep(0.01)
    return found


async def test_a_store_without_addresses_gets_them_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"metadata": {"name": "old"}, "spec": {"clusterIP": "10.96.8.8", "ports": [{"port": 80}]}}
    with monkeypatch.context() as older:
        older.setattr(ServiceAddresses, "_gone", lambda addresses, entry: None)
        older.setattr(ServiceAddresses, "repair", lambda addresses: None)
        async with running(tmp_path) as client:
            await client.call("POST", SERVICES, body)
            await client.call("DELETE", f"{ADDRESS}/10.96.8.8")
            assert not await parent(client, "10.96.8.8")
    async with running(tmp_path) as client:
        assert await soon(client, "10.96.8.8") == "old"


async def test_an_address_in_use_comes_back(client: Client) -> None:
    body = {"metadata": {"name": "used"}, "spec": {"clusterIP": "10.96.8.9", "ports": [{"port": 80}]}}
    await client.call("POST", SERVICES, body)
    await client.call("DELETE", f"{ADDRESS}/10.96.8.9")
    assert await soon(client, "10.96.8.9") == "used"
