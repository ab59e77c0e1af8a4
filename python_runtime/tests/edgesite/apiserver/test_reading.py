"""Lists, watches and documents."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.edgesite.apiserver.running import Client

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def config(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


async def watched(client: Client, path: str, count: int) -> list[Any]:
    found = []
    async with asyncio.timeout(60), client.admin.get(client.base + path) as response:
        async for line in response.content:
            found.append(json.loads(line))
            if len(found) == count:
                break
    return found


async def test_pages_show_the_state_of_the_first_one(client: Client) -> None:
    for name in "abcd":
        await client.call("POST", MAPS, config(name, page="yes"))
    query = f"{MAPS}?labelSelector=page&limit=3"
    _, first = await client.call("GET", query)
    await client.call("DELETE", f"{MAPS}/d")
    await client.call("POST", MAPS, config("e", page="yes"))
    _, second = await client.call("GET", f"{query}&continue={first['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in first["items"] + second["items"]] == ["a", "b", "c", "d"]
    await client.site.store.compact(client.site.store.revision)
    status, expired = await client.call("GET", f"{query}&continue={first['metadata']['continue']}")
    assert (status, expired["reason"]) == (410, "Expired")


async def test_a_watch_from_a_compacted_revision_ends_in_410(client: Client) -> None:
    _, old = await client.call("POST", MAPS, config("a"))
    for value in range(3):
        await client.call(
            "PATCH", f"{MAPS}/a", {"data": {"k": str(value)}}, type="application/merge-patch+json"
        )
    await client.site.store.compact(client.site.store.revision)
    path = f"{MAPS}?watch=1&resourceVersion={old['metadata']['resourceVersion']}"
    (event,) = await watched(client, path, 1)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_watchers_share_events_and_see_only_theirs(client: Client) -> None:
    _, listed = await client.call("GET", MAPS)
    start = listed["metadata"]["resourceVersion"]
    paths = [f"{MAPS}?watch=1&resourceVersion={start}&labelSelector=n%3D{n % 2}" for n in range(20)]
    tasks = [asyncio.create_task(watched(client, path, 3)) for path in paths]
    for number in range(6):
        await client.call("POST", MAPS, config(f"w{number}", n=str(number % 2)))
    for number, task in enumerate(tasks):
        names = [event["object"]["metadata"]["name"] for event in await task]
        assert names == [f"w{number % 2}", f"w{number % 2 + 2}", f"w{number % 2 + 4}"]


async def test_tables_have_the_columns_of_kubectl(client: Client) -> None:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/edge": ""}},
    }
    await client.call("POST", "/api/v1/nodes", node)
    _, table = await client.call("GET", "/api/v1/nodes", accept=TABLE)
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names[:5] == ["Name", "Status", "Roles", "Age", "Version"]
    assert table["rows"][0]["cells"][:3] == ["n", "Unknown", "edge"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert len(table["rows"][0]["cells"]) == len(names)


async def test_every_kind_can_be_listed_as_a_table(client: Client) -> None:
    for kind in list(client.site.registry.kinds):
        if kind.verbs != ("create",):
            status, table = await client.call("GET", kind.resource.path(), accept=TABLE)
            assert (status, table["kind"]) == (200, "Table")
            for row in table["rows"]:
                assert len(row["cells"]) >= len(table["columnDefinitions"])


async def test_both_forms_of_discovery_agree(client: Client) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    _, groups = await client.call("GET", "/apis", accept=accept)
    for group in groups["items"]:
        name, version = group["metadata"]["name"], group["versions"][0]["version"]
        _, plain = await client.call("GET", f"/apis/{name}/{version}")
        listed = {item["name"] for item in plain["resources"] if "/" not in item["name"]}
        assert listed == {item["resource"] for item in group["versions"][0]["resources"]}


async def test_openapi_describes_every_served_kind(client: Client) -> None:
    _, index = await client.call("GET", "/openapi/v3")
    for name, entry in index["paths"].items():
        status, document = await client.call("GET", entry["serverRelativeURL"])
        assert status == 200, name
        text = json.dumps(document)
        for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
            assert reference in document["components"]["schemas"]
    status, old = await client.call("GET", "/openapi/v2")
    assert "io.k8s.api.core.v1.Pod" in old["definitions"]


async def test_events_are_the_same_in_both_groups(client: Client) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "message": "hello",
        "type": "Normal",
    }
    await client.call("POST", "/api/v1/namespaces/default/events", event)
    _, found = await client.call("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert (found["apiVersion"], found["note"]) == ("events.k8s.io/v1", "hello")
    assert found["regarding"]["name"] == "p"


async def test_events_may_be_written_in_the_newer_group(client: Client) -> None:
    event = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": "kube-system"},
        "note": "hello",
        "eventTime": "2026-11-21T10:00:00.000000Z",
        "reportingController": "c",
        "reportingInstance": "c-1",
        "action": "Try",
        "reason": "Tried",
        "type": "Normal",
    }
    path = "namespaces/kube-system/events"
    assert (await client.call("POST", f"/apis/events.k8s.io/v1/{path}", event))[0] == 201
    _, found = await client.call("GET", f"/api/v1/{path}/e")
    assert (found["apiVersion"], found["message"], found["involvedObject"]["name"]) == ("v1", "hello", "p")


async def test_a_watch_from_no_revision_at_all_is_refused(client: Client) -> None:
    status, answer = await client.call("GET", f"{MAPS}?watch=1&resourceVersion=abc")
    assert (status, answer["kind"], answer.get("reason")) == (500, "Status", None)
    assert 'Invalid value: "abc"' in answer["message"]


async def test_a_negative_limit_is_none_and_a_word_is_refused(client: Client) -> None:
    for name in "ab":
        await client.call("POST", MAPS, config(name, page="yes"))
    status, listed = await client.call("GET", f"{MAPS}?labelSelector=page&limit=-1")
    assert (status, len(listed["items"])) == (200, 2)
    assert "continue" not in listed["metadata"]
    status, answer = await client.call("GET", f"{MAPS}?limit=x")
    assert (status, answer["reason"]) == (400, "BadRequest")
    assert answer["message"] == 'strconv.ParseInt: parsing "x": invalid syntax'


async def test_documents_name_the_words_that_a_field_may_have(client: Client) -> None:
    _, document = await client.call("GET", "/openapi/v3/api/v1")
    schemas = document["components"]["schemas"]
    policy = schemas["io.k8s.api.core.v1.Container"]["properties"]["imagePullPolicy"]
    assert policy["enum"] == ["Always", "IfNotPresent", "Never"]
    modes = schemas["io.k8s.api.core.v1.PersistentVolumeClaimSpec"]["properties"]["accessModes"]
    assert "ReadWriteOncePod" in modes["items"]["enum"]
