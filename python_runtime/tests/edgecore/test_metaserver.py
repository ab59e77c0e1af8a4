"""MetaServer: watches, what it does without the cloud, and requests that are none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.edgecore.metaservers import Hub, Server, metaserver

from edgelab.edgecore.metamanager.metaserver import http
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Application

SERVICES = "/api/v1/namespaces/default/services"


def service(name: str, version: int, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": str(version)}
    return {"kind": "Service", "apiVersion": "v1", "metadata": {**metadata, "labels": labels}}


class Cloud:
    """The API, as far as CloudCore shows it: services in namespace default."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = {item["metadata"]["name"]: item for item in items}
        self.version = 100
        self.asked: list[tuple[str, str]] = []
        self.refuse: ApiError | None = None

    def __call__(self, asked: Application) -> Application:
        self.asked.append((asked.verb, asked.key))
        if self.refuse is not None:
            return asked.rejected(self.refuse.status())
        name = asked.key.rsplit("/", 1)[1]
        if name == "healthz":
            return asked.approved(b"ok")
        if asked.verb == "list":
            metadata = {"resourceVersion": str(self.version)}
            found = {"kind": "ServiceList", "apiVersion": "v1", "metadata": metadata}
            return asked.approved(json.dumps({**found, "items": list(self.items.values())}).encode())
        if asked.verb == "get" and name not in self.items:
            return asked.rejected(ApiError(404, "not found", details={"name": name}).status())
        return asked.approved(json.dumps(self.items.get(name)).encode() if asked.verb == "get" else None)


class Watch:
    """An open watch: `next()` is its next event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[str, dict[str, Any]]:
        async with asyncio.timeout(10):
            event = json.loads(await self.response.content.readline())
        return event["type"], event["object"]

    async def named(self) -> tuple[str, str]:
        kind, obj = await self.next()
        return kind, obj["metadata"].get("name", "")


async def watch(server: Server, query: str = "") -> Watch:
    return Watch(await server.open(f"{SERVICES}?watch=true{query}"))


async def test_a_watch_shows_what_is_there_and_then_changes(tmp_path: Path) -> None:
    cloud = Cloud(service("a", 50))
    async with metaserver(tmp_path, Hub(cloud)) as server:
        seen = await watch(server)
        assert await seen.named() == ("ADDED", "a")
        await server.push("insert", "default/service/b", service("b", 20))  # older, yet unknown here
        assert await seen.named() == ("ADDED", "b")
        await server.push("update", "default/service/a", service("a", 101))
        assert await seen.named() == ("MODIFIED", "a")
        await server.push("delete", "default/service/b", service("b", 102))
        assert await seen.named() == ("DELETED", "b")
        seen.response.close()
        await asyncio.sleep(0.05)
        assert server.hub.synced == [{}]  # CloudCore knows that nobody watches any more


async def test_two_watches_of_the_same_are_one_at_the_cloud(tmp_path: Path) -> None:
    cloud = Cloud(service("a", 50))
    async with metaserver(tmp_path, Hub(cloud)) as server:
        first, second = await watch(server), await watch(server, "&timeoutSeconds=300")
        assert [await one.named() for one in (first, second)] == [("ADDED", "a")] * 2
        assert [verb for verb, _ in cloud.asked] == ["watch", "list"]
        first.response.close()
        await asyncio.sleep(0.05)
        assert server.hub.synced == []
        second.response.close()


async def test_the_cloud_is_asked_for_a_watch_as_recorded(tmp_path: Path) -> None:
    recorded = "d7ba16c8c7d8448161957b81bb30b03e47964aa6cd3c19270af807e64d455901"
    ids = []

    def answer(asked: Application) -> Application:
        ids.append(asked.id)
        return Cloud()(asked)

    async with metaserver(tmp_path, Hub(answer)) as server:
        await server.open("/api/v1/namespaces/default/configmaps?watch=true")
    assert ids[0] == recorded


async def test_a_watch_goes_on_from_a_version_with_what_happened_since(tmp_path: Path) -> None:
    async with metaserver(tmp_path, Hub(Cloud(service("a", 50)))) as server:
        first = await watch(server)
        await first.named()
        await server.push("update", "default/service/a", service("a", 101))
        await server.push("insert", "default/service/b", service("b", 103))
        await server.push("delete", "default/service/a", service("a", 104))
        later = await watch(server, "&resourceVersion=101")
        assert await later.named() == ("ADDED", "b")
        assert await later.named() == ("DELETED", "a")
        await server.push("update", "default/service/b", service("b", 105))
        assert await later.named() == ("MODIFIED", "b")
        for one in (first, later):
            one.response.close()


async def test_a_version_from_before_the_start_is_gone(tmp_path: Path) -> None:
    async with metaserver(tmp_path, Hub(Cloud(service("a", 50)))) as server:
        assert (await server.ask("GET", SERVICES)).status == 200
    async with metaserver(tmp_path, Hub(Cloud(service("a", 50)))) as server:
        kind, status = await (await watch(server, "&resourceVersion=7")).next()
        assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
        listed = (await server.ask("GET", SERVICES)).json()["metadata"]["resourceVersion"]
        going = await watch(server, f"&resourceVersion={listed}")
        await server.push("update", "default/service/a", service("a", 120))
        assert await going.named() == ("MODIFIED", "a")
        going.response.close()


async def test_initial_events_end_with_a_bookmark(tmp_path: Path) -> None:
    async with metaserver(tmp_path, Hub(Cloud(service("a", 50)))) as server:
        query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        seen = await watch(server, query)
        assert await seen.named() == ("ADDED", "a")
        kind, obj = await seen.next()
        assert (kind, obj["kind"], obj["apiVersion"]) == ("BOOKMARK", "Service", "v1")
        assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert obj["metadata"]["resourceVersion"] == "100"
        seen.response.close()


async def test_a_watch_with_a_selector_sees_objects_come_and_go_by_their_labels(tmp_path: Path) -> None:
    cloud = Cloud(service("a", 50, app="x"))
    async with metaserver(tmp_path, Hub(cloud)) as server:
        seen = await watch(server, "&labelSelector=app%3Dx")
        assert await seen.named() == ("ADDED", "a")
        await server.push("update", "default/service/a", service("a", 101, app="y"))
        assert await seen.named() == ("DELETED", "a")
        await server.push("update", "default/service/a", service("a", 102, app="x"))
        assert await seen.named() == ("ADDED", "a")
        await server.push("insert", "default/service/b", service("b", 103, app="y"))
        await server.push("delete", "default/service/a", service("a", 104, app="x"))
        assert await seen.named() == ("DELETED", "a")
        seen.response.close()


async def test_a_time_that_is_over_ends_a_watch(tmp_path: Path) -> None:
    async with metaserver(tmp_path, Hub(Cloud())) as server:
        seen = await watch(server, "&timeoutSeconds=1")
        async with asyncio.timeout(10):
            assert await seen.response.content.read() == b""


async def test_what_happened_while_the_cloud_was_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    cloud = Cloud(service("a", 50), service("b", 51))
    hub = Hub(cloud)
    async with metaserver(tmp_path, hub) as server:
        seen = await watch(server)
        assert [await seen.named() for _ in "ab"] == [("ADDED", "a"), ("ADDED", "b")]
        hub.connect(False)
        cloud.items = {"b": service("b", 120), "c": service("c", 121)}
        cloud.version = 130
        hub.connect(True)
        events = [await seen.named() for _ in range(3)]
        assert set(events) == {("MODIFIED", "b"), ("ADDED", "c"), ("DELETED", "a")}
        assert [list(watches) for watches in hub.synced] == [[next(iter(hub.synced[0]))]]
        seen.response.close()


async def test_a_watch_that_the_cloud_refuses_ends_with_the_reason(tmp_path: Path, caplog: Any) -> None:
    cloud = Cloud()
    cloud.refuse = ApiError(403, "you may not")
    async with metaserver(tmp_path, Hub(cloud)) as server:
        refused = await server.ask("GET", f"{SERVICES}?watch=true")
        assert (refused.status, refused.json()["message"]) == (403, "you may not")
        cloud.refuse = None
        seen = await watch(server)
        cloud.refuse = ApiError(403, "not any more")
        server.hub.connect(False)
        server.hub.connect(True)
        kind, status = await seen.next()
        assert (kind, status["message"]) == ("ERROR", "not any more")
    assert "failed" not in caplog.text  # a refusal is no defect


async def test_without_the_cloud_reads_are_answered_and_writes_are_refused(tmp_path: Path) -> None:
    hub = Hub(Cloud(service("a", 50, app="x"), service("b", 51)))
    async with metaserver(tmp_path, hub) as server:
        assert len((await server.ask("GET", SERVICES)).json()["items"]) == 2
        hub.connect(False)
        listed = (await server.ask("GET", SERVICES)).json()
        assert (listed["kind"], listed["metadata"]["resourceVersion"]) == ("ServiceList", "100")
        assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b"]
        chosen = (await server.ask("GET", f"{SERVICES}?labelSelector=app%3Dx")).json()["items"]
        named = (await server.ask("GET", f"{SERVICES}?fieldSelector=metadata.name%3Db")).json()["items"]
        assert [item["metadata"]["name"] for item in (*chosen, *named)] == ["a", "b"]
        assert (await server.ask("GET", f"{SERVICES}/a")).json()["metadata"]["name"] == "a"
        missing = (await server.ask("GET", f"{SERVICES}/c")).json()
        assert (missing["code"], missing["reason"]) == (404, "NotFound")
        assert "the cloud cannot be asked now" in missing["message"]
        for method, path in (("POST", SERVICES), ("PUT", f"{SERVICES}/a"), ("DELETE", f"{SERVICES}/a")):
            refused = await server.ask(method, path, None, service("a", 50))
            assert (refused.status, refused.json()["reason"]) == (503, "ServiceUnavailable")
            assert "connection lost between EdgeCore and CloudCore" in refused.json()["message"]
        assert (await server.ask("GET", "/healthz")).text == "ok"
        assert (await server.ask("GET", "/apis/batch/v1")).status == 503
        going = await watch(server)
        assert await going.named() == ("ADDED", "a")
        going.response.close()


async def test_a_cloud_without_its_api_server_counts_as_none(tmp_path: Path) -> None:
    cloud = Cloud(service("a", 50))
    async with metaserver(tmp_path, Hub(cloud)) as server:
        await server.ask("GET", SERVICES)
        cloud.refuse = ApiError(503, "CloudCore cannot reach the API server")
        assert len((await server.ask("GET", SERVICES)).json()["items"]) == 1
        refused = await server.ask("DELETE", f"{SERVICES}/a")
        assert refused.status == 503
        assert "cannot reach the API server" in refused.json()["message"]


async def test_what_the_cloud_does_not_have_is_forgotten(tmp_path: Path) -> None:
    hub = Hub(Cloud(service("a", 50)))
    async with metaserver(tmp_path, hub) as server:
        await server.ask("GET", f"{SERVICES}/a")
        hub.answer = Cloud()
        assert (await server.ask("GET", f"{SERVICES}/a")).status == 404
        await server.store.submit([])
        hub.connect(False)
        assert (await server.ask("GET", f"{SERVICES}/a")).status == 404


YAML_BODY = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels: {since: 2026-01-02}\n"


async def test_bodies_in_yaml(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    def answer(asked: Application) -> Application:
        bodies.append(base64.b64decode(asked.req_body or ""))
        return asked.approved(json.dumps(service("a", 60)).encode())

    async with metaserver(tmp_path, Hub(answer)) as server:
        headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
        made = await server.ask("POST", SERVICES, headers, YAML_BODY)
        assert (made.status, made.content_type) == (201, "application/yaml")
        assert json.loads(bodies[0])["metadata"] == {
            "labels": {"since": "2026-01-02"},
            "name": "a",
            "namespace": "default",
        }
        broken = await server.ask("POST", SERVICES, headers, "a: [")
        assert (broken.status, broken.json()["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    "case",
    [
        ("POST", SERVICES, {}, "[]", 400),
        ("POST", SERVICES, {}, '{"kind":"Service"}', 400),
        ("POST", SERVICES, {"Content-Type": "application/vnd.kubernetes.protobuf"}, "k8s", 415),
        ("POST", SERVICES, {}, '{"kind":"X","apiVersion":"v1","metadata":{"namespace":"o"}}', 400),
        ("PUT", f"{SERVICES}/a", {}, '{"kind":"X","apiVersion":"v1","metadata":{"name":"b"}}', 400),
        ("PATCH", f"{SERVICES}/a", {"Content-Type": "text/plain"}, "{}", 415),
        ("GET", f"{SERVICES}?watch=true&resourceVersion=x", {}, None, 400),
        ("GET", f"{SERVICES}?watch=true&timeoutSeconds=soon", {}, None, 400),
        ("GET", f"{SERVICES}?labelSelector=a%20in%20", {}, None, 400),
        ("GET", f"{SERVICES}?limit=x", {}, None, 400),
        ("GET", SERVICES, {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}, None, 406),
        ("GET", "/api/v1/namespaces/default/services/%2e%2e", {}, None, 400),
        ("DELETE", SERVICES, {}, None, 405),
        ("POST", "/api/v1/namespaces/default/pods/restart", {}, "{}", 400),
        ("POST", "/api/v1/namespaces/default/pods/restart", {}, '["a"]', 503),
        ("POST", "/api/v1/pods/unhold-upgrade", {}, "default/a", 503),
        ("POST", "/api/v1/taskupgrade/confirm-upgrade", {}, "", 400),
        ("GET", "/api/v1/namespaces/default/pods/a/log", {}, None, 501),
    ],
)
async def test_requests_that_cannot_be_carried_out_say_why(
    case: tuple[str, str, dict[str, str], Any, int], tmp_path: Path
) -> None:
    method, path, headers, body, status = case
    cloud = Cloud()
    async with metaserver(tmp_path, Hub(cloud)) as server:
        found = await server.ask(method, path, headers, body)
        assert (found.status, bool(found.text)) == (status, True)
        assert cloud.asked == []


async def test_a_body_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async with metaserver(tmp_path, Hub(Cloud())) as server:
        found = await server.ask("POST", SERVICES, None, io.BytesIO(b"x" * (http.BODY_LIMIT + 1)))
        assert (found.status, found.json()["reason"]) == (413, "RequestEntityTooLarge")
        assert (await server.ask("GET", "/healthz")).status == 200


async def test_what_is_no_http_gets_an_answer_and_the_server_lives(tmp_path: Path) -> None:
    async with metaserver(tmp_path, Hub(Cloud())) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.module.server.port)
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b"400" in await reader.read(200)
        writer.close()
        await writer.wait_closed()
        assert (await server.ask("HEAD", "/healthz")).status == 200


async def test_a_client_that_does_not_read_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WRITE", 0.2)
    async with metaserver(tmp_path, Hub(Cloud())) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.module.server.port, limit=1024)
        writer.write(f"GET {SERVICES}?watch=true HTTP/1.1\r\nHost: edge\r\n\r\n".encode())
        assert b"200" in await reader.readline()
        for number in range(60):
            big = {**service(f"s{number}", 200 + number), "data": "x" * 200_000}
            await server.push("insert", f"default/service/s{number}", big)
        async with asyncio.timeout(20):
            while not server.hub.synced:  # its watch has ended
                await asyncio.sleep(0.01)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class Pods:
    """edged."""

    def __init__(self) -> None:
        self.restarted: list[str] = []
        self.held = ["default/a", "default/b"]

    def release(self, namespace: str = "", name: str = "") -> int:
        released = [key for key in self.held if not name or key == f"{namespace}/{name}"]
        self.held = [key for key in self.held if key not in released]
        return len(released)

    async def restart_pod(self, namespace: str, name: str) -> None:
        if name == "none":
            raise LookupError(name)
        if name == "never":
            raise ValueError("its restartPolicy is Never")
        self.restarted.append(f"{namespace}/{name}")


async def test_pods_are_restarted_through_edged(tmp_path: Path) -> None:
    pods = Pods()
    async with metaserver(tmp_path, Hub(Cloud())) as server:
        server.module.attach(pods)
        path = "/api/v1/namespaces/default/pods/restart"
        found = await server.ask("POST", path, None, '["cat", "none", "never"]')
    assert pods.restarted == ["default/cat"]
    assert found.json() == {
        "errMessages": [
            'not found pod:"/default/none"',
            'the pod "default/never" restart failed: its restartPolicy is Never',
        ],
        "LogMessages": ['the pod "default/cat" restart successful'],
    }


async def test_held_pods_are_released_one_by_one_or_all_of_the_node(tmp_path: Path) -> None:
    pods = Pods()
    async with metaserver(tmp_path, Hub(Cloud())) as server:
        server.module.attach(pods)
        one, node = "/api/v1/pods/unhold-upgrade", "/api/v1/nodes/unhold-upgrade"
        assert (await server.ask("POST", one, {}, "a")).status == 400
        assert (await server.ask("POST", one, {}, "default/c")).status == 404
        assert pods.held == ["default/a", "default/b"]
        assert (await server.ask("POST", one, {}, "default/a")).status == 200
        assert pods.held == ["default/b"]
        assert (await server.ask("POST", node, {}, "edge1")).status == 200
        assert pods.held == []
