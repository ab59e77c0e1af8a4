"""The recorded requests of a Go EdgeCore's MetaServer, asked of our CloudCore.

Each answer must be equivalent to the recorded one: its outcome, the code and reason of a failure, what kind
of object it holds; each recorded push of the DynamicController must come.
Excluded: bodies of pass-through (the original hands on protobuf) and what the recordings had in their
cluster beyond what is made here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from tests.cloudcore.cloud import Edge, about
from tests.component.metaserver.lab import Lab

from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Resource
from edgelab.kube.resources import CONFIG_MAPS, DEVICES, NODES, PODS
from edgelab.protocol import message as wire
from edgelab.protocol.content import applications
from edgelab.protocol.content.applications import Application, Key, application
from edgelab.protocol.message import Message

RECORDINGS = Path(__file__).parents[2] / "protocol" / "vectors" / "wire"
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
NODE = {"metadata": {"name": "edge1", "labels": {"node-role.kubernetes.io/edge": ""}}, "spec": {}}


def recorded(name: str) -> Iterator[tuple[str, Message]]:
    for line in (RECORDINGS / f"34-metaserver-{name}.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "msg":
            yield record["dir_"], wire.decode(json.dumps(record["msg"]))


def read(message: Message) -> Application:
    return msgspec.json.decode(message.content, type=Application)


async def ask(edge: Edge, asked: Application) -> Application:
    message = applications.request(asked)
    await edge.send(message)
    return read(await edge.wait(lambda m: m.parent_id == message.id))


def body(answer: Application) -> Any:
    return msgspec.json.decode(applications.content_of(answer.resp_body) or b"null")


async def populate(api: HttpClient) -> None:
    await api.create(NODES, {"kind": "Node", "apiVersion": "v1", **NODE})
    container = {"containers": [{"name": "c", "image": "i"}], "nodeName": "edge1"}
    for name in ("cat", "lg"):
        pod = {"metadata": {"name": name, "labels": {"app": name}}, "spec": container}
        await api.create(PODS, {"kind": "Pod", "apiVersion": "v1", **pod}, "default")


def outline(answer: Application) -> Any:
    """What must be equal."""
    failure = answer.failure()
    told = None
    if answer.resp_body and answer.key.count("/") == 5:
        found = body(answer)
        named = (found.get("metadata") or {}).get("name")
        told = (found.get("kind"), found.get("apiVersion"), None if "items" in found else named)
    if answer.verb == "list" and answer.status == applications.REJECTED:
        failure = {}  # the original loses it, and says so in `Reason` only
    return (
        answer.status,
        answer.reason,
        [failure.get(name) for name in ("status", "reason", "code", "message")],
        told,
    )


def same(found: Application, wanted: Application) -> None:
    if "cut" in (wanted.resp_body or ""):
        wanted.resp_body = found.resp_body
    ours, theirs = outline(found), outline(wanted)
    if wanted.failure().get("code") == 422:
        ours, theirs = ours[2][2], theirs[2][2]
    assert ours == theirs
    assert (found.key, found.verb, found.nodename) == (wanted.key, wanted.verb, "edge1")
    assert found.option == wanted.option
    assert found.id == found.digest()


async def in_this_cluster(edge: Edge, message: Message) -> None:
    """A recorded update names the uid and version that the object had there: it gets those of here."""
    asked = read(message)
    if asked.verb != "update":
        return
    sent = msgspec.json.decode(applications.content_of(asked.req_body))
    current = body(await ask(edge, application("edge1", asked.key, "get")))["metadata"]
    sent["metadata"] |= {name: current[name] for name in ("uid", "resourceVersion")}
    data = msgspec.json.encode(sent)
    option = msgspec.Raw(applications.content_of(asked.option))
    message.content = wire.raw(application("edge1", asked.key, "update", option=option, body=data))


async def replay(edge: Edge, name: str) -> tuple[int, list[Message]]:
    """Ask what the node asked; the number of answers that are equivalent, and the recorded pushes."""
    lines = list(recorded(name))
    answers = {m.parent_id: m for side, m in lines if side == "cloud->edge" and m.parent_id}
    compared = 0
    for side, message in lines:
        if side == "edge->cloud" and message.route.source == "metaserver":
            if message.route.resource != applications.SYNC:
                await in_this_cluster(edge, message)
            await edge.send(message)
            found = await edge.wait(lambda m, i=message.id: m.parent_id == i)
            wanted = answers[message.id]
            assert found.route == wanted.route
            if message.route.resource == applications.SYNC:
                assert found.value() == wanted.value() == {}
            else:
                same(read(found), read(wanted))
            compared += 1
    return compared, [m for side, m in lines if side == "cloud->edge" and not m.parent_id]


async def test_recorded_questions_have_equivalent_answers(lab: Lab) -> None:
    async with lab.api() as api:
        await populate(api)
    edge = await lab.join()
    compared, _ = await replay(edge, "online")
    assert compared > 30
    await edge.close()


async def test_recorded_writes_and_watches(lab: Lab) -> None:
    edge = await lab.join()
    compared, pushes = await replay(edge, "write-watch")
    assert compared > 20
    wanted = {about(m) for m in pushes if m.route.source == "dynamiccontroller"}
    assert len(wanted) == 6
    for operation, resource in wanted:
        pushed = await edge.pushed(resource, operation)
        assert pushed.header.resourceversion
        assert pushed.object()["kind"].lower() == resource.split("/")[1]
    await edge.close()


async def test_recorded_watches_bring_what_is_there_and_are_told_of_again(lab: Lab) -> None:
    edge = await lab.join()
    compared, pushes = await replay(edge, "rewatch")
    assert compared == 13
    wanted = {about(m) for m in pushes if m.route.source == "dynamiccontroller"}
    assert len(wanted) == 5
    for operation, resource in wanted:
        assert (await edge.pushed(resource, operation)).object()["kind"] == "Namespace"
    await edge.close()


async def test_recorded_questions_for_a_device_have_equivalent_answers(lab: Lab) -> None:
    async with lab.api() as api:
        spec = {"nodeName": "edge1", "deviceModelRef": {"name": "m"}, "protocol": {"protocolName": "p"}}
        await api.create(DEVICES, {"metadata": {"name": "dmi-1"}, "spec": spec}, "default")
    edge = await lab.join()
    compared, _ = await replay(edge, "local")
    assert compared == 2
    await edge.close()


async def test_with_authorization_the_api_server_judges(tmp_path: Path) -> None:
    """What RBAC gives nodes goes through, also what the guard would refuse; all else does not."""
    lab = Lab(tmp_path)
    try:
        lab.start(authorization={"enable": True, "debug": False})
        async with lab.api() as api:
            await populate(api)
            await api.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "default")
        edge = await lab.join()
        listed = await ask(edge, application("edge1", Key("", "v1", "services", "default"), "list"))
        assert listed.status == applications.APPROVED
        denied = await ask(edge, application("edge1", Key("apps", "v1", "deployments", "default"), "list"))
        assert (denied.status, denied.failure()["code"]) == (applications.REJECTED, 403)
        assert "system:node:edge1" in denied.failure()["message"]
        key = Key("", "v1", "configmaps", "default", "c")
        body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}'
        assert (await ask(edge, application("edge1", key, "update", body=body))).failure()["code"] == 403
        for resource, status in (("services", applications.APPROVED), ("secrets", applications.REJECTED)):
            watch = application("edge1", Key("", "v1", resource, "default"), "watch", option={"watch": True})
            assert (await ask(edge, watch)).status == status
        await edge.close()
    finally:
        lab.stop()
