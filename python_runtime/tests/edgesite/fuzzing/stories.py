"""Stories: an object is made, changed in many ways, read and deleted, and every answer is checked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.edgesite.fuzzing import sending
from tests.edgesite.fuzzing.checking import Validator, Wrong, check
from tests.edgesite.fuzzing.choices import Choices
from tests.edgesite.fuzzing.corpus import Corpus, mutated
from tests.edgesite.fuzzing.operations import Operation, Resource
from tests.edgesite.fuzzing.patches import DRAWN
from tests.edgesite.fuzzing.shapes import Shapes
from tests.edgesite.fuzzing.wire import Answer, Connection, Request, read_head

Obj = dict[str, Any]

NAMESPACE = "fuzz"
NAMES = ("a", "b", "c.d", "e-1")
ODD_NAMES = ("", "A", "a_b", "..", "x" * 254, "a%2Fb", "%00", "a b", "é", "a:b", "%ff", "%C3%A9")
# what would change the answers to everything else, and is therefore taken away at once
DISTURBING = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ResourceQuota", "LimitRange")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
SAFE = ("namespaces",)


class Teller:
    """Tells stories to a server."""

    def __init__(self, connection: Connection, corpus: Corpus) -> None:
        self.connection = connection
        self.corpus = corpus
        self.asked = 0
        self._validators: dict[int, Validator] = {}

    async def ask(self, request: Request) -> Answer:
        """An answer that is one that a kube-apiserver could give."""
        self.asked += 1
        watching = "watch" in request.target and request.method == "GET"
        answer = await (self.connection.glance(request) if watching else self.connection.ask(request))
        check(request, answer)
        return answer

    async def tell(self, resource: Resource, choices: Choices) -> None:
        """One story about an object of a kind."""
        name = choices.pick(NAMES)
        present = await self._made(resource, name, choices)
        for _ in range(1 + choices.below(4)):
            await self._operate(resource, name, present, choices)
            found = await self.read(resource, name)
            present = found if found is not None else present
        if choices.rarely(3) or resource.kind in DISTURBING:
            await self.ask(Request("DELETE", self.path(resource, name)))

    def path(self, resource: Resource, name: str = "", template: str = "") -> str:
        """Where an object, or the collection, is."""
        path = (template or resource.collection).replace("{namespace}", NAMESPACE)
        if template:
            return path.replace("{name}", name)
        return f"{path}/{name}" if name else path

    async def read(self, resource: Resource, name: str) -> Obj | None:
        """The object as it is."""
        if not resource.can("get"):
            return None
        answer = await self.ask(Request("GET", self.path(resource, name)))
        return answer.json() if answer.status == 200 else None

    def body(self, resource: Resource, name: str, choices: Choices) -> Obj:
        """An object to create, often a valid one."""
        obj = self.corpus.object(choices, resource.api_version, resource.kind)
        if obj is None or choices.rarely(3):
            obj = Shapes(resource.schemas, self.corpus).value(resource.schema, choices)
        elif choices.rarely(2):
            obj = mutated(obj, self.corpus, choices, 1 + choices.below(3))
        if not isinstance(obj, dict):
            return {"metadata": {"name": name}}
        if not choices.rarely(10):
            obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
            metadata = obj["metadata"] if isinstance(obj.get("metadata"), dict) else {}
            obj["metadata"] = {**metadata, "name": name}
            obj["metadata"].pop("namespace", None)
        return obj

    async def _made(self, resource: Resource, name: str, choices: Choices) -> Obj:
        body = self.body(resource, name, choices)
        post = next(
            op for op in resource.operations if op.method == "post" and op.path == resource.collection
        )
        parameters = sending.query(post, choices, often=2)
        raw, media = sending.encoded(body, choices)
        request = sending.request(
            "POST", sending.target(self.path(resource), parameters), choices, raw, media
        )
        answer = await self.ask(request)
        await self.acknowledged(resource, request, answer, post, choices)
        return body

    async def _operate(self, resource: Resource, name: str, present: Obj, choices: Choices) -> None:
        operation = choices.pick(resource.operations)
        if operation.action == "deletecollection" and not choices.rarely(4):
            return
        named = choices.pick(ODD_NAMES) if choices.rarely(25) else name
        parameters = sending.query(operation, choices)
        where = sending.target(self.path(resource, named, operation.path), parameters)
        raw, media = self._sent(operation, present, resource, name, choices)
        method = operation.method
        if choices.rarely(40):
            method = choices.pick(("HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH"))
        if (
            method.upper() == "DELETE"
            and "{name}" in operation.path
            and any(where.startswith(f"/api/v1/{plural}/{NAMESPACE}") for plural in SAFE)
        ):
            return
        request = sending.request(method, where, choices, raw, media)
        answer = await self.ask(request)
        await self.acknowledged(resource, request, answer, operation, choices)

    def _sent(
        self, operation: Operation, present: Obj, resource: Resource, name: str, choices: Choices
    ) -> tuple[bytes | None, str]:
        if operation.method == "get":
            return None, ""
        if operation.method == "patch":
            media = choices.pick(tuple(DRAWN))
            raw, other = sending.encoded(DRAWN[media](present, self.corpus, choices), choices)
            return raw, other if choices.rarely(60) else media
        if operation.method == "delete" and not choices.rarely(3):
            return None, ""
        if operation.schema is not None and operation.schema != resource.schema:
            body = Shapes(resource.schemas, self.corpus).value(operation.schema, choices)
            if isinstance(body, dict) and isinstance(body.get("metadata"), dict) and not choices.rarely(4):
                body["metadata"]["name"] = name
            return sending.encoded(body, choices)
        return sending.encoded(mutated(present, self.corpus, choices, choices.below(4)), choices)

    async def acknowledged(
        self, resource: Resource, request: Request, answer: Answer, operation: Operation, choices: Choices
    ) -> None:
        """What was acknowledged is there: in get and list, watched, valid, and settled by a PUT of itself."""
        if request.method not in ("POST", "PUT", "PATCH") or answer.status not in (200, 201):
            return
        found = answer.json()
        if not isinstance(found, dict) or found.get("kind") != resource.kind or "dryRun" in request.target:
            return
        metadata = found.get("metadata", {})
        if found.get("apiVersion") != resource.api_version or "resourceVersion" not in metadata:
            return
        self._validator(resource).check(found, resource.schema)
        path = self.path(resource, metadata["name"])
        got = await self.ask(Request("GET", path))
        if got.status == 404 or got.json()["metadata"].get("resourceVersion") != metadata["resourceVersion"]:
            return  # a controller, or the end of the last finalizer, came first
        same = got.body == answer.body if "json" in answer.headers["content-type"] else got.json() == found
        if not same:
            raise Wrong(f"acknowledged {answer.body!r} but read {got.body!r} after {request}")
        await self._listed(resource, found, request)
        await self.ask(Request("GET", path, (("Accept", TABLE),)))
        await self._settled(path, got, request)
        if choices.rarely(6):
            await self._watched(resource, found, request)

    def _validator(self, resource: Resource) -> Validator:
        key = id(resource.schemas)
        if key not in self._validators:
            self._validators[key] = Validator(resource.schemas)
        return self._validators[key]

    async def _listed(self, resource: Resource, obj: Obj, request: Request) -> None:
        selector = {"fieldSelector": f"metadata.name={obj['metadata']['name']}"}
        answer = await self.ask(Request("GET", sending.target(self.path(resource), selector)))
        items = answer.json()["items"]
        same = [
            one for one in items if one["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]
        ]
        bare = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
        if len(items) > 1 or any(one not in (obj, bare) for one in same):
            raise Wrong(f"acknowledged {obj} but listed {items} after {request}")

    async def _settled(self, path: str, got: Answer, request: Request) -> None:
        again = Request("PUT", path, (("Content-Type", sending.JSON), ("User-Agent", "again")), got.body)
        answer = await self.ask(again)
        if answer.status in (404, 409):
            return
        if answer.status in (200, 201) and answer.json()["metadata"]["uid"] != got.json()["metadata"]["uid"]:
            return  # a controller has made it anew, and it needs no resourceVersion
        if answer.status == 422 and "/nodes/" in path and b"Duplicate value" in answer.body:
            return  # kube-apiserver looks for addresses given twice only in updates
        if answer.status != 200:
            raise Wrong(f"{answer.status} {answer.body!r:.500} to a PUT of {got.body!r} after {request}")
        if answer.json()["metadata"]["resourceVersion"] != got.json()["metadata"]["resourceVersion"]:
            raise Wrong(f"a PUT of itself changed {got.body!r} to {answer.body!r} after {request}")

    async def _watched(self, resource: Resource, obj: Obj, request: Request) -> None:
        metadata = obj["metadata"]
        parameters = {
            "watch": "1",
            "fieldSelector": f"metadata.name={metadata['name']}",
            "resourceVersion": str(int(metadata["resourceVersion"]) - 1),
            "timeoutSeconds": "1",
        }
        reader, writer = await self.connection.another()
        try:
            writer.write(Request("GET", sending.target(self.path(resource), parameters)).encode())
            status, _ = await read_head(reader)
            if status != 200:
                raise Wrong(f"{status} to a watch after {request}")
            async with asyncio.timeout(10):
                await reader.readuntil(b"\r\n")
                event = json.loads(await reader.readuntil(b"\n"))
        finally:
            writer.transport.abort()
        if event["object"] != obj:
            raise Wrong(f"acknowledged {obj} but watched {event} after {request}")
