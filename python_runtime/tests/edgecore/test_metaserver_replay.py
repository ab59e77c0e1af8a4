"""What clients asked a Go EdgeCore's MetaServer, asked of ours.

The vectors hold each HTTP request with its answer, what was sent to CloudCore for it and what came back.
Ours has to send the same application (its ID is a digest of all of it) and to make an equivalent answer of
the same reply. Long bodies were replaced by the identity of their object. Where ours differs on purpose is
named here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.edgecore.metaservers import Hub, metaserver

from edgelab.protocol.content import applications
from edgelab.protocol.content.applications import Application

RECORDED = Path(__file__).parent / "vectors" / "metaserver.jsonl"

DIFFERENT: dict[tuple[str, str], tuple[int, str | None]] = {
    ("GET", "/api/v1/namespaces/default/nosuchkinds"): (404, "Status"),  # there 200, an empty list
    ("GET", "/apis/no.such.io/v1/foos"): (404, "Status"),
    ("GET", "/nosuchpath"): (404, "Status"),  # there 500
    ("GET", "/metrics"): (404, "Status"),
    ("DELETE", "/api/v1/namespaces/default/configmaps"): (405, "Status"),  # there 500
    ("GET", "/api/v1/namespaces/default/pods/lg/log?tailLines=2"): (501, "Status"),
    ("DELETE", "/api/v1/namespaces/default/configmaps/ms-cm"): (200, "Status"),  # there without a kind
    ("DELETE", "/api/v1/namespaces/default/services/ms-svc"): (200, "Status"),
}
PASSED_ON = ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token")
"""The original refuses it itself; ours asks the cloud."""


def recorded() -> Iterator[Any]:
    for number, line in enumerate(RECORDED.read_text().splitlines()):
        record = json.loads(line)
        yield pytest.param(record, id=f"{number}-{record['method']}-{record['path'].rsplit('/', 1)[-1]}")


@pytest.mark.parametrize("record", list(recorded()))
async def test_recorded_requests_have_equivalent_answers(record: Any, tmp_path: Path) -> None:
    asked: list[Application] = []

    def answer(application: Application) -> Any:
        asked.append(application)
        if "answered" not in record:
            return application.approved(b'{"kind":"X"}')
        return record["answered"]

    async with metaserver(tmp_path, Hub(answer)) as server:
        found = await server.ask(record["method"], record["path"], record["headers"], record["body"])
    what = (record["method"], record["path"])
    if "asked" in record:
        assert asked[0].id == record["asked"]["ID"]
        assert [one.verb for one in asked[1:]] == ["get"] * (len(asked) - 1)  # a look after a delete
        assert msgspec.json.decode(msgspec.json.encode(asked[0])) == record["asked"]
    elif what != PASSED_ON:
        assert not asked
    if what == PASSED_ON:
        assert (found.status, asked[0].subresource, asked[0].verb) == (201, "token", "create")
        return
    status, kind = record["status"], record.get("kind")
    if what in DIFFERENT and status in (200, 500):
        status, kind = DIFFERENT[what]
    assert found.status == status
    if record["headers"].get("Accept") == "application/yaml":
        assert found.content_type == "application/yaml"
        assert found.text.startswith("apiVersion: v1\nkind: Pod\n")
        return
    if record["path"] in ("/healthz", "/livez", "/readyz"):
        assert found.text == "ok"
        return
    assert found.content_type == "application/json"
    if kind == "Table":
        kind = "PodList"
    if kind is not None:
        assert found.json()["kind"] == kind
    if record.get("name"):
        assert found.json()["metadata"]["name"] == record["name"]
    if record.get("reason") and what not in DIFFERENT:
        assert found.json()["reason"] == record["reason"]


async def test_discovery_of_a_go_cloud_is_made_readable(tmp_path: Path) -> None:
    records = {record["path"]: record for record in map(json.loads, RECORDED.read_text().splitlines())}
    replies = {path: records[path]["answered"] for path in ("/api", "/apis", "/api/v1", "/apis/apps")}
    async with metaserver(tmp_path, Hub(lambda application: replies[application.key])) as server:
        found = {path: (await server.ask("GET", path)).json() for path in replies}
    assert found["/api"] == {
        "kind": "APIVersions",
        "apiVersion": "v1",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:16443"}],
    }
    groups = {group["name"]: group for group in found["/apis"]["groups"]}
    assert groups["apps"]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert found["/apis/apps"]["name"] == "apps"
    pods = next(item for item in found["/api/v1"]["resources"] if item["name"] == "pods")
    assert pods["kind"] == "Pod"
    assert pods["namespaced"] is True
    assert pods["shortNames"] == ["po"]
    assert {"create", "delete", "get", "list", "watch"} <= set(pods["verbs"])
    assert applications.content_of(replies["/api"]["RespBody"]).startswith(b"k8s\0")
