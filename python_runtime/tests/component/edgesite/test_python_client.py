"""The official Python client on a server process: typed, dynamic, watching."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, UnprocessibleEntityError
from kubernetes.informer import SharedInformer
from tests.component.edgesite.serving import Server
from urllib3.exceptions import HTTPError

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "lamps.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "lamps", "singular": "lamp", "kind": "Lamp"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"watts": {"type": "integer"}}}
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def api(server: Server) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(server.kubeconfig)) as found:
        yield found


def body(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_the_dynamic_client_finds_and_changes_everything(api: client.ApiClient) -> None:
    await asyncio.to_thread(dynamic_client, api)


def dynamic_client(api: client.ApiClient) -> None:
    dynamic = DynamicClient(api)
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    maps.create(body=body("a", k="1"), namespace="default")
    with pytest.raises(ConflictError):
        maps.create(body=body("a"), namespace="default")
    maps.patch(
        body={"data": {"k": "2"}}, name="a", namespace="default", content_type="application/merge-patch+json"
    )
    found = maps.get(name="a", namespace="default")
    assert found.data.k == "2"
    changed = found.to_dict()
    changed["data"]["l"] = "3"
    maps.replace(body=changed, namespace="default")
    listed = maps.get(namespace="default", field_selector="metadata.name=a")
    assert [dict(item.data) for item in listed.items] == [{"k": "2", "l": "3"}]
    with pytest.raises(UnprocessibleEntityError):
        maps.create(body=body("Not a name"), namespace="default")
    applied = maps.server_side_apply(
        body=body("b", x="1"), name="b", namespace="default", field_manager="python", force_conflicts=True
    )
    assert applied.metadata.managedFields[0].manager == "python"
    maps.delete(name="a", namespace="default")
    with pytest.raises(NotFoundError):
        maps.get(name="a", namespace="default")


async def test_a_custom_resource_is_discovered_and_watched(api: client.ApiClient) -> None:
    await asyncio.to_thread(custom_resource, api)


def custom_resource(api: client.ApiClient) -> None:
    dynamic = DynamicClient(api)
    definitions = dynamic.resources.get(
        api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition"
    )
    definitions.create(body=CRD)
    until(lambda: is_established(definitions.get(name="lamps.example.com")))
    lamps = dynamic.resources.get(api_version="example.com/v1", kind="Lamp")
    seen: list[tuple[str, int]] = []

    def follow() -> None:
        for event in lamps.watch(namespace="default", timeout=4):
            seen.append((event["type"], event["object"].spec.watts))

    follower = threading.Thread(target=follow)
    follower.start()
    lamp = {"apiVersion": "example.com/v1", "kind": "Lamp", "metadata": {"name": "l"}, "spec": {"watts": 5}}
    lamps.create(body=lamp, namespace="default")
    lamps.patch(
        body={"spec": {"watts": 7}},
        name="l",
        namespace="default",
        content_type="application/merge-patch+json",
    )
    lamps.delete(name="l", namespace="default")
    follower.join(15)
    assert seen == [("ADDED", 5), ("MODIFIED", 7), ("DELETED", 7)]


def is_established(definition: Any) -> bool:
    conditions = (definition.status or {}).get("conditions") or []
    return any((item["type"], item["status"]) == ("Established", "True") for item in conditions)


async def test_the_typed_client_reads_pages_and_follows_a_watch(api: client.ApiClient) -> None:
    await asyncio.to_thread(typed_client, api)


def typed_client(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    for number in range(7):
        core.create_namespaced_config_map("default", body(f"m{number}", n=str(number)))
    names: list[str] = []
    token = None
    while token != "":
        page = core.list_namespaced_config_map("default", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue or ""
    assert [name for name in names if name.startswith("m")] == [f"m{number}" for number in range(7)]
    stream = watch.Watch().stream(
        core.list_namespaced_config_map,
        "default",
        resource_version=page.metadata.resource_version,
        timeout_seconds=3,
    )
    core.delete_namespaced_config_map("m0", "default")
    assert [(event["type"], event["object"].metadata.name) for event in stream] == [("DELETED", "m0")]
    with pytest.raises(client.ApiException) as caught:
        core.read_namespaced_config_map("m0", "default")
    assert (caught.value.status, caught.value.reason) == (404, "Not Found")


async def test_an_informer_outlives_a_killed_server(server: Server, api: client.ApiClient) -> None:
    await asyncio.to_thread(informer, server, api)


def informer(server: Server, api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    seen: list[tuple[str, str]] = []
    found = SharedInformer(core.list_namespaced_config_map, namespace="default", label_selector="seen=yes")
    for event in ("ADDED", "MODIFIED", "DELETED"):
        found.add_event_handler(event, lambda obj, event=event: seen.append((event, obj.metadata.name)))
    core.create_namespaced_config_map("default", labelled("before"))
    found.start()
    try:
        until(lambda: ("ADDED", "before") in seen)
        server.kill()
        server.start()
        until(lambda: written(lambda: core.create_namespaced_config_map("default", labelled("after"))))
        until(lambda: ("ADDED", "after") in seen)
        core.delete_namespaced_config_map("before", "default")
        until(lambda: ("DELETED", "before") in seen)
        assert [obj.metadata.name for obj in found.cache.list()] == ["after"]
    finally:
        found.stop()


def labelled(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"seen": "yes"}}}


def written(write: Callable[[], Any]) -> bool:
    """Whether a write went through; a connection that broke is made anew."""
    try:
        write()
    except (client.ApiException, OSError, HTTPError):
        return False
    return True


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
