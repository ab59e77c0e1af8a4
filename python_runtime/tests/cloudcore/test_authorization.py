"""What nodes may send when the API server is asked: the mapping, the answers that are kept, the wire."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.cloud import Api, Cloud, eventually, running
from tests.cloudcore.test_complaints import HandClock

from edgelab.cloudcore.cloudhub.attributes import Attributes, attributes_of, is_own
from edgelab.cloudcore.cloudhub.authorization import ALLOWED_SECONDS, DENIED_SECONDS, Authorizer
from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.kube import impersonation
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import EVENTS, NODES, SUBJECT_ACCESS_REVIEWS
from edgelab.objects.status import ApiError
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message, Route
from edgelab.settings.cloudcore import AuthorizationMode, CloudCore, CloudHubAuthorization, NodeAuthorization
from edgelab.settings.cloudcore import validate as problems_of


def route(operation: str, resource: str, source: str = "edged") -> Route:
    return Route(source=source, group="meta", operation=operation, resource=resource)


@pytest.mark.parametrize(
    ("operation", "resource", "wanted"),
    [
        ("insert", "null/node/e1", ("create", "", "nodes", "", "", "e1")),
        ("query", "default/node/e1", ("get", "", "nodes", "", "", "e1")),
        ("update", "null/node/e1", ("update", "", "nodes", "", "", "e1")),
        ("patch", "null/nodepatch/e1", ("patch", "", "nodes", "status", "", "e1")),
        ("update", "default/nodestatus/e1", ("update", "", "nodes", "status", "", "e1")),
        ("insert", "default/nodestatus/e1", ("create", "", "nodes", "", "", "e1")),
        ("patch", "d/podpatch/p", ("patch", "", "pods", "status", "d", "p")),
        ("update", "d/podstatus/p", ("update", "", "pods", "status", "d", "p")),
        ("insert", "d/podstatus/p", ("create", "", "pods", "", "d", "p")),
        ("delete", "d/pod/p", ("delete", "", "pods", "", "d", "p")),
        ("query", "d/configmap/c", ("get", "", "configmaps", "", "d", "c")),
        ("query", "d/secret/s", ("get", "", "secrets", "", "d", "s")),
        ("query", "d/serviceaccounttoken/a", ("create", "", "serviceaccounts", "token", "d", "a")),
        ("query", "d/persistentvolumeclaim/c", ("get", "", "persistentvolumeclaims", "", "d", "c")),
        ("query", "default/persistentvolume/v", ("get", "", "persistentvolumes", "", "", "v")),
        (
            "query",
            "default/volumeattachment/v",
            ("get", "storage.k8s.io", "volumeattachments", "", "", "v"),
        ),
        (
            "update",
            "kube-node-lease/lease/e1",
            ("update", "coordination.k8s.io", "leases", "", "kube-node-lease", "e1"),
        ),
        (
            "insert",
            "null/certificatesigningrequest/c",
            ("create", "certificates.k8s.io", "certificatesigningrequests", "", "", "c"),
        ),
        ("patch", "d/event/e", ("patch", "", "events", "", "d", "e")),
        ("query", "d/deployment/x", None),
        ("publish", "d/pod/p", None),
        ("query", "", None),
    ],
)
def test_messages_in_the_words_of_the_api(
    operation: str, resource: str, wanted: tuple[str, ...] | None
) -> None:
    found = attributes_of(route(operation, resource))
    assert found == (None if wanted is None else Attributes(*wanted))
    assert not is_own(route(operation, resource))


@pytest.mark.parametrize(
    "own",
    [
        route("response", "d/pod/p"),
        route("upload", "d/x"),
        route("UpdateNodeActionStatus", "operations.kubeedge.io/v1alpha2/imageprepulljob/j/nodes/e1"),
        route("query", "d/secret/s", "metaserver"),
        route("update", "device/d/x/twin/edge_updated", "twin"),
        route("query", "k8s/ca.crt"),
        route("response", "pvc-1/volume/v-1"),
        route("update", "d/rulestatus/r"),
        route("update", "d/podstatus"),
    ],
)
def test_what_is_kubeedges_own_is_nobody_elses_business(own: Route) -> None:
    assert is_own(own)


class Judge(Api):
    """The API, which denies what is in `denied` and writes down who acts."""

    def __init__(self) -> None:
        super().__init__()
        self.denied: set[tuple[str, str]] = set()
        self.asked: list[Obj] = []
        self.acting: list[tuple[str, str, list[tuple[str, str]]]] = []

    def _note(self, verb: str, resource: Resource, name: str, subresource: str | None) -> None:
        self.acting.append((verb, resource.plural, impersonation.headers()))
        super()._note(verb, resource, name, subresource)

    async def create(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        if resource is not SUBJECT_ACCESS_REVIEWS:
            return await super().create(resource, obj, namespace, subresource=subresource)
        self._note("create", resource, "", None)
        self.asked.append(obj["spec"])
        wanted = obj["spec"]["resourceAttributes"]
        denied = (wanted["verb"], wanted["resource"]) in self.denied
        return {**obj, "status": {"allowed": not denied, "reason": "no relationship" if denied else ""}}


def message(operation: str, resource: str) -> Message:
    return wire.new(source="edged", group="meta", operation=operation, resource=resource)


async def test_an_answer_is_kept_for_its_time_and_belongs_to_one_node() -> None:
    api, clock = Judge(), HandClock()
    authorizer = Authorizer(api, Complaints(clock=clock), debug=False, clock=clock)
    lease = message("update", "kube-node-lease/lease/e1")
    assert await authorizer.refusal("e1", lease) is None
    assert await authorizer.refusal("e1", lease) is None
    assert await authorizer.refusal("e2", lease) is None
    assert [spec["user"] for spec in api.asked] == ["system:node:e1", "system:node:e2"]
    assert api.asked[0]["groups"] == ["system:nodes", "system:authenticated"]
    clock.seconds += ALLOWED_SECONDS
    api.denied.add(("update", "leases"))
    refused = await authorizer.refusal("e1", lease)
    assert refused is not None
    assert refused.code == 403
    assert 'User "system:node:e1" cannot update it: no relationship' in str(refused)
    api.denied.clear()
    assert await authorizer.refusal("e1", lease) is not None
    clock.seconds += DENIED_SECONDS
    assert await authorizer.refusal("e1", lease) is None


@pytest.mark.parametrize(
    ("error", "words"),
    [(None, "cannot be asked"), (ApiError(403, "no"), "system:auth-delegator"), (ApiError(404, "no"), "no")],
)
async def test_without_an_answer_nothing_is_allowed_but_in_debug_mode(
    error: Exception | None, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    api = Judge()
    if error is None:
        api.broken = "subjectaccessreviews"
    else:
        api.refuse = ("create", "subjectaccessreviews", error)
    for debug in (False, True):
        authorizer = Authorizer(api, Complaints(), debug=debug)
        refused = await authorizer.refusal("e1", message("query", "d/secret/s"))
        assert (refused is None) is debug
        assert refused is None or refused.code == 503
    assert all(words in record.getMessage() for record in caplog.records)
    assert ["debug" in record.getMessage() for record in caplog.records] == [False, True]


@pytest.fixture
async def judged(tmp_path: Path) -> AsyncIterator[tuple[Cloud, Judge]]:
    api = Judge()
    async with running(tmp_path, api, authorization=CloudHubAuthorization(enable=True, debug=False)) as found:
        yield found, api


async def test_a_refused_node_gets_an_answer_in_the_shape_that_it_reads(judged: tuple[Cloud, Judge]) -> None:
    cloud, api = judged
    await cloud.node()
    edge = await cloud.join()
    api.denied |= {("patch", "nodes"), ("get", "secrets"), ("create", "events")}
    answer = await edge.ask("null/nodepatch/edge1", "patch", '{"status":{}}')
    assert answer.object()["Object"] is None
    assert answer.object()["Err"]["ErrStatus"]["code"] == 403
    answer = await edge.ask("default/secret/s", "query")
    assert answer.object()["ErrStatus"]["reason"] == "Forbidden"
    await edge.send(message("insert", "default/event/e"))
    assert (await edge.ask("k8s/ca.crt", "query")).value() == "kube ca"
    await eventually(lambda: any(e["reason"] == "NotAuthorized" for e in cloud.api.all(EVENTS)))
    assert not [e for e in cloud.api.all(EVENTS) if e["metadata"]["name"] == "e"]
    await edge.close()


async def test_the_api_server_is_asked_about_the_node_and_then_sees_the_node_act(
    judged: tuple[Cloud, Judge],
) -> None:
    cloud, api = judged
    edge = await cloud.join()
    body = {"metadata": {"name": "edge1", "labels": {"node-role.kubernetes.io/edge": ""}}}
    assert (await edge.ask("null/node/edge1", "insert", body)).object()["Err"] is None
    await edge.pushed("null/node/edge1", "update")
    await eventually(lambda: any(call[1] == "clusterobjectsyncs" for call in api.acting))
    node = [("Impersonate-User", "system:node:edge1"), ("Impersonate-Group", "system:nodes")]
    by_resource = {call[:2]: call[2] for call in api.acting}
    assert by_resource["create", "nodes"] == node
    assert by_resource["create", "subjectaccessreviews"] == []
    assert by_resource["create", "clusterobjectsyncs"] == []
    await edge.close()


async def test_debug_mode_tells_and_refuses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    api = Judge()
    api.denied.add(("create", "nodes"))
    authorization = CloudHubAuthorization(enable=True, debug=True)
    async with running(tmp_path, api, authorization=authorization) as cloud:
        edge = await cloud.join()
        body: dict[str, Any] = {"metadata": {"name": "edge1"}}
        assert (await edge.ask("null/node/edge1", "insert", body)).object()["Err"] is None
        await edge.close()
    told = [r.getMessage() for r in caplog.records if "would be refused" in r.getMessage()]
    assert len(told) == 1
    assert all(not headers for verb, plural, headers in api.acting if (verb, plural) == ("create", "nodes"))
    assert cloud.api.one(NODES, "edge1")
    assert not [r for r in caplog.records if r.levelno > logging.WARNING]


def test_authorization_with_no_mode_is_a_mistake_in_the_file() -> None:
    settings = CloudCore()
    mode = AuthorizationMode(NodeAuthorization(enable=False))
    settings.modules.cloudHub.authorization = CloudHubAuthorization(enable=True, modes=[mode])
    fields = [problem.field for problem in problems_of(settings)]
    assert fields == ["modules.cloudHub.authorization.modes"]
