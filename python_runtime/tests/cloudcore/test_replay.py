"""A recorded life of a KubeEdge node, played against our CloudCore.

The vectors hold the messages of a Go CloudCore and a Go EdgeCore. What the node said is said again;
what was done at the API server is done to ours; each answer and each push must have the recorded shape.
Excluded: identifiers, versions, times, and which answer to a status change comes first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from tests.cloudcore.cloud import Cloud, Edge, about, running

from edgelab.kube.interface import Resource
from edgelab.kube.resources import CONFIG_MAPS, DEVICE_MODELS, DEVICE_STATUSES, DEVICES, NODES, PODS, SECRETS
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

STORY = Path(__file__).parent / "vectors" / "node-life.jsonl"
KINDS = {kind.kind: kind for kind in (CONFIG_MAPS, SECRETS, PODS, DEVICES, DEVICE_MODELS)}


def recorded() -> Iterator[tuple[str, str, Message]]:
    for line in STORY.read_text().splitlines():
        record = json.loads(line)
        message = record["msg"]
        if "/lease/" in message["route"].get("resource", "") and isinstance(message["content"], dict):
            message["content"].get("metadata", {}).pop("resourceVersion", None)
        yield record["scene"], record["from"], wire.decode(json.dumps(message))


def shape(message: Message) -> Any:
    """What must be equal: the route, which header fields there are, and the content's outline."""
    header = msgspec.to_builtins(message.header)
    return (
        msgspec.to_builtins(message.route),
        sorted(key for key, value in header.items() if value),
        outline(message.value()),
    )


def outline(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    if "Err" in content:
        return {"Object": outline(content["Object"]), "Err": content["Err"]}
    if "ErrStatus" in content or "metadata" not in content:
        return {key: value for key, value in content.items() if key not in ("event_id", "timestamp")}
    metadata = content["metadata"]
    return {
        "identity": [content.get("kind"), content.get("apiVersion"), metadata.get("name")],
        "namespace": metadata.get("namespace"),
        "uid": bool(metadata.get("uid")),
        "sections": sorted(key for key in content if key in ("spec", "data")),
    }


class Stage:
    """Plays scenes and remembers what has been checked."""

    def __init__(self, cloud: Cloud, edge: Edge) -> None:
        self.cloud = cloud
        self.edge = edge
        self.checked = 0

    async def play(self, messages: list[tuple[str, Message]]) -> None:
        answers = {m.parent_id: m for side, m in messages if side == "cloud" and m.parent_id}
        pushes: list[Message] = []
        before = len(self.edge.received)
        for side, message in messages:
            if side == "cloud" and not message.parent_id:
                self.happen(message)
                pushes.append(message)
            elif side == "edge" and not message.parent_id:
                await self.say(message, answers.get(message.id))
        for push in pushes:
            found = await self.edge.wait(
                lambda m, push=push: (
                    about(m) == about(push)
                    and not m.parent_id
                    and (m in self.edge.received[before:] or push.route.resource == "null/node/edge1")
                )
            )
            assert shape(found) == shape(push)
            self.checked += 1

    async def say(self, message: Message, answer: Message | None) -> None:
        if answer is None:
            await self.edge.send(message)
            return
        self.happen(answer)
        await self.edge.send(message)
        found = await self.edge.wait(lambda m: m.parent_id == message.id)
        assert shape(found) == shape(answer), f"the answer to {about(message)}"
        self.checked += 1

    def happen(self, push: Message) -> None:
        """Do to the API what led to a push, unless the node's own messages have done it already."""
        content = push.value()
        resource = KINDS.get(content.get("kind", "")) if isinstance(content, dict) else None
        if resource is None or (resource is DEVICE_MODELS and push.route.operation == "delete"):
            return
        metadata = content["metadata"]
        stored = self.cloud.api.objects.setdefault(resource, {}).get(("default", metadata["name"]))
        if push.route.operation == "delete":
            if stored is not None:
                self.cloud.api._store("DELETED", resource, stored)
        elif stored is None:
            self.store("ADDED", resource, content)
        elif wanted(stored) != wanted(content):
            self.store("MODIFIED", resource, {**content, "status": stored.get("status")})

    def store(self, event: str, resource: Resource, obj: Any) -> None:
        self.cloud.api._store(event, resource, json.loads(json.dumps(obj)))


def wanted(obj: dict[str, Any]) -> Any:
    """What a user determines of an object."""
    metadata = obj["metadata"]
    return [metadata.get("labels"), metadata.get("deletionTimestamp"), obj.get("spec"), obj.get("data")]


async def test_a_recorded_node_gets_the_recorded_answers_and_pushes(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        edge = await cloud.join()
        stage = Stage(cloud, edge)
        for name in ("kube-root-ca.crt", "openshift-service-ca.crt"):
            await cloud.api.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {"a": "b"}}, "default")
        for _, scene in groupby(recorded(), key=lambda record: record[0]):
            await stage.play([(side, message) for _, side, message in scene])
        assert stage.checked >= 50
        status = cloud.api.one(DEVICE_STATUSES, "sensor1")
        assert status["status"]["state"] == "online"
        twin = status["status"]["twins"][0]
        assert twin["propertyName"] == "temperature"
        assert twin["reported"] == {
            "value": "23",
            "metadata": {"timestamp": "1795246701204", "type": "string"},
        }
        assert cloud.api.one(NODES, "edge1")["status"]["conditions"]
        await edge.close()
