"""A recorded session of a KubeEdge node, played against our CloudCore.

The recordings hold the messages of a Go CloudCore and a Go EdgeCore. What the node said is said again;
what was done at the API server is done to ours; each answer and each push must have the recorded shape.
Excluded: identifiers, versions, times, and which answer to a status change comes first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from tests.cloudcore.cloud import Cloud, Edge, about

from edgelab.kube.interface import Resource
from edgelab.kube.resources import CONFIG_MAPS, DEVICE_MODELS, DEVICES, NODES, PODS, SECRETS
from edgelab.protocol import message as wire
from edgelab.protocol.content.catalogue import DOWN
from edgelab.protocol.message import Message

RECORDINGS = Path(__file__).parents[1] / "protocol" / "vectors" / "wire"
KINDS = {kind.kind: kind for kind in (CONFIG_MAPS, SECRETS, PODS, NODES, DEVICES, DEVICE_MODELS)}


def messages(name: str) -> Iterator[tuple[bool, Message]]:
    """Whether the cloud sent it, and the message; a Lease's versions are another API server's."""
    for line in (RECORDINGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        message = record["msg"]
        if "/lease/" in message["route"].get("resource", "") and isinstance(message["content"], dict):
            message["content"].get("metadata", {}).pop("resourceVersion", None)
        yield record["dir_"] == DOWN, wire.decode(json.dumps(message))


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
        "labels": metadata.get("labels"),
        "uid": bool(metadata.get("uid")),
        "ending": bool(metadata.get("deletionTimestamp")),
        "sections": sorted(key for key in content if key in ("spec", "data")),
    }


class Stage:
    """Plays recordings one after the other and counts what has been checked."""

    def __init__(self, cloud: Cloud, edge: Edge, differs: Callable[[Message], bool]) -> None:
        """`differs` tells messages of the recorded cloud that ours sends otherwise, on purpose."""
        self.cloud = cloud
        self.edge = edge
        self.checked = 0
        self._differs = differs

    async def play(self, name: str) -> int:
        """Play one recording; the number of the cloud's messages that were compared."""
        records, started, before = list(messages(name)), self.checked, len(self.edge.received)
        answers = {m.parent_id: m for cloud, m in records if cloud and m.parent_id}
        pushes: dict[str, Message] = {}
        for from_cloud, message in records:
            if from_cloud and not message.parent_id:
                # What happens to an object too fast for the node is one message, with the outcome.
                earlier = pushes.pop(message.route.resource, None)
                if earlier is not None:
                    await self.see(earlier, before)
                self.happen(message)
                pushes[message.route.resource] = message
            elif not from_cloud and not message.parent_id:
                await self.say(message, answers.get(message.id))
        for push in pushes.values():
            await self.see(push, before)
        return self.checked - started

    async def see(self, push: Message, before: int) -> None:
        """A push of the recorded shape has come, or comes."""
        if self._differs(push):
            return
        wanted = shape(push)
        try:
            await self.edge.wait(lambda m: m in self.edge.received[before:] and shape(m) == wanted, 10)
        except TimeoutError:
            like = [shape(m) for m in self.edge.received[before:] if about(m)[1] == about(push)[1]]
            raise AssertionError(f"recorded: {wanted}\nreceived: {like}") from None
        self.checked += 1

    async def say(self, message: Message, answer: Message | None) -> None:
        """Send what the node sent, and compare the answer, if there was one."""
        if answer is None:
            await self.edge.send(message)
            return
        self.happen(answer)
        await self.edge.send(message)
        try:
            found = await self.edge.wait(lambda m: m.parent_id == message.id, 10)
        except TimeoutError:
            raise AssertionError(f"no answer to {about(message)}: {message.value()}") from None
        assert shape(found) == shape(answer), f"the answer to {about(message)}"
        self.checked += 1

    def happen(self, push: Message) -> None:
        """Do to the API what led to a push, unless the node's own messages have done it already."""
        content = push.value()
        resource = KINDS.get(content.get("kind", "")) if isinstance(content, dict) else None
        if resource is None or (resource is DEVICE_MODELS and push.route.operation == "delete"):
            return
        metadata = content["metadata"]
        key = ("default" if resource.namespaced else "", metadata["name"])
        stored = self.cloud.api.objects.setdefault(resource, {}).get(key)
        if push.route.operation == "delete":
            if stored is not None:
                self.cloud.api._store("DELETED", resource, stored)
        elif stored is None and push.route.operation == "update" and resource is PODS:
            # The node sees it first when the scheduler has bound it; it was there before.
            self.store("ADDED", resource, {**content, "spec": {**content["spec"], "nodeName": ""}})
            self.store("MODIFIED", resource, content)
        elif stored is None:
            self.store("ADDED", resource, content)
        elif decided(stored) != decided(content):
            same = {**metadata, "uid": stored["metadata"]["uid"]}
            status = stored.get("status") or {}
            self.store("MODIFIED", resource, {**content, "metadata": same, "status": status})

    def store(self, event: str, resource: Resource, obj: Any) -> None:
        self.cloud.api._store(event, resource, json.loads(json.dumps(obj)))


def decided(obj: dict[str, Any]) -> Any:
    """What a user determines of an object."""
    metadata = obj["metadata"]
    return [metadata.get("labels"), metadata.get("deletionTimestamp"), obj.get("spec"), obj.get("data")]
