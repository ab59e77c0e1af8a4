"""What nodes ask for and report, and the answers they get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cloudcore.cloud import Cloud, eventually, running

from edgelab.kube.resources import EVENTS, LEASES, NODES, PODS
from edgelab.protocol import message as wire


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        await found.node()
        yield found


async def test_a_missing_secret_is_answered_in_cloudcore_s_own_words(cloud: Cloud) -> None:
    edge = await cloud.join()
    await cloud.pod(imagePullSecrets=[{"name": "nosuch"}])
    await edge.pushed("default/pod/web", "insert")
    answer = await edge.ask("default/secret/nosuch", "query")
    assert answer.header.resourceversion == ""
    assert answer.object() == {
        "ErrStatus": {
            "metadata": {},
            "status": "Failure",
            "message": 'secret "nosuch" not found',
            "reason": "NotFound",
            "details": {"name": "nosuch", "kind": "secret"},
            "code": 404,
        }
    }
    await edge.close()


async def test_an_unreachable_api_is_answered_and_not_passed_over(cloud: Cloud) -> None:
    edge = await cloud.join()
    cloud.api.broken = "nodes"
    answer = await edge.ask("null/nodepatch/edge1", "patch", "{}")
    assert answer.object()["Err"]["ErrStatus"]["reason"] == "ServiceUnavailable"
    await edge.close()


async def test_a_node_may_not_write_for_another_node(cloud: Cloud) -> None:
    await cloud.node("edge2")
    edge = await cloud.join()
    for resource, operation, content in (
        ("null/nodepatch/edge2", "patch", '{"status":{"phase":"hacked"}}'),
        ("null/node/edge2", "update", {"metadata": {"labels": {"hacked": "yes"}}}),
        ("kube-node-lease/lease/edge2", "insert", {"metadata": {"name": "edge2"}, "spec": {}}),
    ):
        await edge.send(
            wire.new(source="edged", group="meta", operation=operation, resource=resource, content=content)
        )
    await edge.ask("k8s/ca.crt", "query")
    await asyncio.sleep(0.05)
    other = cloud.api.one(NODES, "edge2")
    assert "status" not in other
    assert "hacked" not in other["metadata"]["labels"]
    assert not cloud.api.all(LEASES, "kube-node-lease")
    await edge.close()


async def test_a_node_reads_only_what_its_own_pods_use(cloud: Cloud) -> None:
    await cloud.node("edge2")
    await cloud.secret("mine", a="MQ==")
    await cloud.secret("theirs", a="Mg==")
    await cloud.pod("a", "edge1", volumes=[{"name": "v", "secret": {"secretName": "mine"}}])
    await cloud.pod("b", "edge2", imagePullSecrets=[{"name": "theirs"}], serviceAccountName="robot")
    edge = await cloud.join()
    await edge.pushed("default/pod/a", "insert")
    assert (await edge.ask("default/secret/mine", "query")).object()["data"] == {"a": "MQ=="}
    for resource, content in (
        ("default/secret/theirs", None),
        ("kube-system/secret/mine", None),
        ("default/serviceaccounttoken/robot", {"spec": {}}),
    ):
        refused = (await edge.ask(resource, "query", content)).object()
        assert refused["ErrStatus"]["reason"] == "Forbidden", resource
    allowed = await edge.ask("default/serviceaccounttoken/default", "query", {"spec": {}})
    assert allowed.object()["status"]["token"] == "signed"
    await edge.close()


async def test_a_node_cannot_touch_the_pods_of_another(cloud: Cloud) -> None:
    await cloud.node("edge2")
    pod = await cloud.pod("b", "edge2")
    edge = await cloud.join()
    patch = '{"status":{"phase":"Failed"}}'
    answer = (await edge.ask("default/podpatch/b", "patch", patch)).object()
    assert answer["Err"]["ErrStatus"]["reason"] == "Forbidden"
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
    refused = (await edge.ask("default/pod/b", "delete", options)).object()
    assert refused["ErrStatus"]["code"] == 403
    assert cloud.api.one(PODS, "b")["status"]["phase"] == "Pending"
    await edge.close()


async def test_a_node_update_adds_and_takes_nothing_away(cloud: Cloud) -> None:
    taint = {"key": "kept", "effect": "NoSchedule"}
    await cloud.api.patch(NODES, "edge1", {"spec": {"taints": [taint]}})
    edge = await cloud.join()
    more = {"key": "own", "effect": "NoSchedule", "value": "edge"}
    body = {"metadata": {"labels": {"l": "1"}, "annotations": {"a": "1"}}, "spec": {"taints": [more]}}
    assert (await edge.ask("null/node/edge1", "update", body)).value() == "OK"
    node = cloud.api.one(NODES, "edge1")
    assert node["spec"]["taints"] == [taint, more]
    assert node["metadata"]["labels"]["l"] == "1"
    assert "node-role.kubernetes.io/edge" in node["metadata"]["labels"]
    await edge.close()


async def test_a_lease_is_made_read_and_renewed(cloud: Cloud) -> None:
    edge = await cloud.join()
    where = "kube-node-lease/lease/edge1"
    missing = (await edge.ask(where, "query")).object()
    assert missing["Object"] is None
    assert missing["Err"]["ErrStatus"]["details"] == {
        "name": "edge1",
        "group": "coordination.k8s.io",
        "kind": "lease",
    }
    body = {
        "metadata": {"name": "edge1", "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": "edge1"},
    }
    made = (await edge.ask(where, "insert", body)).object()
    assert made["Err"] is None
    assert "kind" not in made["Object"]
    stale = {
        **made["Object"],
        "metadata": {**made["Object"]["metadata"], "resourceVersion": "1"},
        "spec": {"holderIdentity": "x"},
    }
    assert (await edge.ask(where, "update", stale)).object()["Err"]["ErrStatus"]["reason"] == "Conflict"
    assert (await edge.ask(where, "update", made["Object"])).object()["Err"] is None
    await edge.close()


async def test_a_pod_s_end_is_reported_once_and_repeats_are_harmless(cloud: Cloud) -> None:
    edge = await cloud.join()
    pod = await cloud.pod()
    uid = pod["metadata"]["uid"]
    where = "default/pod/web"
    other = {"gracePeriodSeconds": 0, "preconditions": {"uid": "somebody-else"}}
    assert (await edge.ask(where, "delete", other)).value() == "OK"
    assert cloud.api.one(PODS, "web")
    assert (
        await edge.ask(where, "delete", {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
    ).value() == "OK"
    assert not cloud.api.all(PODS)
    await edge.pushed(where, "delete")
    assert (await edge.ask(where, "delete", uid)).value() == "OK"
    await edge.close()


async def test_events_are_made_and_counted_up_even_when_the_api_has_forgotten_them(cloud: Cloud) -> None:
    edge = await cloud.join()
    event = {"metadata": {"name": "e", "namespace": "default"}, "reason": "Started", "count": 1}
    patch = {"event": {**event, "count": 2}, "patchData": '{"count":2}'}
    for operation, content in (("insert", event), ("patch", patch)):
        await edge.send(
            wire.new(
                source="edged",
                group="meta",
                operation=operation,
                resource="default/event/e",
                content=content,
            )
        )
    await eventually(lambda: bool(cloud.api.all(EVENTS)) and cloud.api.one(EVENTS, "e")["count"] == 2)
    await cloud.api.delete(EVENTS, "e", "default")
    await edge.send(
        wire.new(source="edged", group="meta", operation="patch", resource="default/event/e", content=patch)
    )
    await eventually(lambda: bool(cloud.api.all(EVENTS)))
    await edge.close()


async def test_status_reports_of_old_releases_are_written(cloud: Cloud) -> None:
    edge = await cloud.join()
    pod = await cloud.pod()
    report = {"UID": pod["metadata"]["uid"], "Name": "web", "Status": {"phase": "Running"}}
    assert (await edge.ask("default/podstatus/web", "update", report)).value() == "OK"
    assert cloud.api.one(PODS, "web")["status"]["phase"] == "Running"
    gone = {"UID": "gone", "Name": "nothere", "Status": {}}
    assert (await edge.ask("default/podstatus", "update", [gone])).value() == "OK"
    await edge.pushed("default/pod/nothere", "delete")
    node = {"UID": "", "Status": {"conditions": [{"type": "Ready", "status": "True"}]}, "ExtendResources": {}}
    assert (await edge.ask("default/nodestatus/edge1", "update", node)).value() == "OK"
    assert cloud.api.one(NODES, "edge1")["status"]["conditions"][0]["type"] == "Ready"
    await edge.close()


async def test_what_cannot_be_read_is_dropped_and_the_session_lives_on(cloud: Cloud) -> None:
    edge = await cloud.join()
    for content in ("{", None, 7, [1]):
        await edge.send(
            wire.new(
                source="edged",
                group="meta",
                operation="insert",
                resource="null/node/edge1",
                content=content,
            )
        )
    await edge.send(
        wire.new(source="edged", group="meta", operation="query", resource="default/nosuchkind/x")
    )
    assert (await edge.ask("k8s/ca.crt", "query")).value() == "kube ca"
    await edge.close()


async def test_the_node_says_which_cloudcore_it_is_connected_to(cloud: Cloud) -> None:
    edge = await cloud.join()
    await eventually(
        lambda: (
            (cloud.api.one(NODES, "edge1")["metadata"].get("annotations") or {}).get("cloudcore")
            == "127.0.0.1"
        )
    )
    await edge.close()
