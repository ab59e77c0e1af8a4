"""Definitions that go: their objects first, however long that takes, and then whoever watches them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.edgesite.apiserver.running import Client

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(plural: str, kind: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


async def make(client: Client, plural: str, kind: str, **metadata: Any) -> str:
    """Serve a kind and create an object `one`; gives the path of its objects."""
    status, _ = await client.call("POST", DEFINITIONS, definition(plural, kind))
    assert status == 201
    path = f"/apis/example.com/v1/namespaces/default/{plural}"
    body = {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "one", **metadata}}
    async with asyncio.timeout(10):
        while (await client.call("POST", path, body))[0] != 201:
            await asyncio.sleep(0.01)
    return path


async def gone(client: Client, path: str) -> None:
    async with asyncio.timeout(10):
        while (await client.call("GET", path))[0] != 404:
            await asyncio.sleep(0.01)


async def test_a_watch_of_custom_objects_ends_with_their_definition(client: Client) -> None:
    path = await make(client, "widgets", "Widget")
    async with client.admin.get(f"{client.base}{path}?watch=1&resourceVersion=0") as watch:
        assert b"ADDED" in await watch.content.readline()
        await client.call("DELETE", f"{DEFINITIONS}/widgets.example.com")
        async with asyncio.timeout(10):
            rest = await watch.content.read()
        assert b'"type":"DELETED"' in rest
    await gone(client, path)


async def test_an_object_that_is_held_holds_up_no_other_definition(client: Client) -> None:
    held = await make(client, "widgets", "Widget", finalizers=["example.com/hold"])
    await client.call("DELETE", f"{DEFINITIONS}/widgets.example.com")
    other = await make(client, "gadgets", "Gadget")
    await client.call("DELETE", f"{DEFINITIONS}/gadgets.example.com")
    await gone(client, other)
    status, found = await client.call("GET", f"{held}/one")
    assert status == 200
    assert found["metadata"]["deletionTimestamp"]
    merge = "application/merge-patch+json"
    await client.call("PATCH", f"{held}/one", {"metadata": {"finalizers": None}}, type=merge)
    await gone(client, held)
    await gone(client, f"{DEFINITIONS}/widgets.example.com")


async def test_the_garbage_collector_stops_following_a_kind_that_is_gone(client: Client) -> None:
    for _ in range(2):
        path = await make(client, "widgets", "Widget")
        owner = (await client.call("GET", f"{path}/one"))[1]["metadata"]["uid"]
        reference = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "one", "uid": owner}
        owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
        status, _ = await client.call("POST", "/api/v1/namespaces/default/configmaps", owned)
        assert status == 201
        await client.call("DELETE", f"{DEFINITIONS}/widgets.example.com")
        await gone(client, "/api/v1/namespaces/default/configmaps/owned")
        await gone(client, f"{DEFINITIONS}/widgets.example.com")
        names = [task.get_name() for task in asyncio.all_tasks()]
        async with asyncio.timeout(10):
            while any("garbage-collector/widgets" in name for name in names):
                await asyncio.sleep(0.01)
                names = [task.get_name() for task in asyncio.all_tasks()]
