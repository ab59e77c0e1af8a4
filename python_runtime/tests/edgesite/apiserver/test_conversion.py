"""Versions of custom resources that a webhook converts: a real HTTPS server plays the webhook."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import ipaddress
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.edgesite.apiserver.running import Client

Obj = dict[str, Any]

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATH = "/apis/convert.example.com/{}/namespaces/default/hosts"


def certificate(directory: Path) -> bytes:
    """A certificate for 127.0.0.1 that signs itself; its PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    found = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = found.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "hook.pem").write_bytes(pem + private)
    return pem


def convert(obj: Obj, wanted: str) -> Obj:
    """v1 has `spec.address`, v2 has `spec.host` and `spec.port`."""
    spec = dict(obj["spec"])
    if wanted.endswith("/v2") and "address" in spec:
        host, _, port = spec.pop("address").partition(":")
        spec |= {"host": host, "port": int(port)}
    elif wanted.endswith("/v1") and "host" in spec:
        spec["address"] = f"{spec.pop('host')}:{spec.pop('port')}"
    return {**obj, "apiVersion": wanted, "spec": spec}


def honest(request: Obj) -> Obj:
    found = [convert(obj, request["desiredAPIVersion"]) for obj in request["objects"]]
    return {"uid": request["uid"], "convertedObjects": found, "result": {"status": "Success"}}


class Hook:
    def __init__(self) -> None:
        self.answer: Callable[[Obj], Obj] = honest
        self.sizes: list[int] = []
        self.url = ""
        self.bundle = ""

    async def serve(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.sizes.append(len(review["request"]["objects"]))
        body = {**review, "response": self.answer(review["request"])}
        return web.json_response(body)

    def definition(self, **webhook: Any) -> Obj:
        text, number = {"type": "string"}, {"type": "integer"}
        fields = {
            "v1": {"address": text},
            "v2": {"host": text, "port": number, "kept": {**text, "default": "x"}},
        }
        versions = [
            {
                "name": name,
                "served": True,
                "storage": name == "v2",
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": properties}},
                    }
                },
            }
            for name, properties in fields.items()
        ]
        config = {"url": self.url, "caBundle": self.bundle, **webhook}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "hosts.convert.example.com"},
            "spec": {
                "group": "convert.example.com",
                "scope": "Namespaced",
                "names": {"plural": "hosts", "kind": "Host"},
                "versions": versions,
                "conversion": {
                    "strategy": "Webhook",
                    "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]},
                },
            },
        }


@asynccontextmanager
async def webhook() -> AsyncIterator[Hook]:
    hook = Hook()
    with tempfile.TemporaryDirectory() as name:
        hook.bundle = base64.b64encode(certificate(Path(name))).decode()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(Path(name) / "hook.pem")
        app = web.Application()
        app.router.add_post("/convert", hook.serve)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        hook.url = f"https://127.0.0.1:{runner.addresses[0][1]}/convert"
        yield hook
        await runner.cleanup()


@pytest.fixture
async def hook(client: Client) -> AsyncIterator[Hook]:
    async with webhook() as found:
        await client.call("POST", CRDS, found.definition())
        async with asyncio.timeout(60):
            while (await client.call("GET", PATH.format("v1")))[0] != 200:
                await asyncio.sleep(0.02)
        yield found


def host(version: str, name: str, **spec: Any) -> Obj:
    return {
        "apiVersion": f"convert.example.com/{version}",
        "kind": "Host",
        "metadata": {"name": name, "labels": {"a": "b"}},
        "spec": spec,
    }


async def test_objects_are_written_in_the_storage_version_and_read_in_any(client: Client, hook: Hook) -> None:
    status, made = await client.call("POST", PATH.format("v1"), host("v1", "a", address="box:80"))
    assert (status, made["apiVersion"], made["spec"]) == (
        201,
        "convert.example.com/v1",
        {"address": "box:80"},
    )
    _, found = await client.call("GET", PATH.format("v2") + "/a")
    assert (found["spec"], found["metadata"]) == ({"host": "box", "port": 80, "kept": "x"}, made["metadata"])
    patch = {"spec": {"address": "box:81"}}
    status, changed = await client.call(
        "PATCH", PATH.format("v1") + "/a", patch, type="application/merge-patch+json"
    )
    assert (status, changed["spec"]) == (200, {"address": "box:81"})
    _, found = await client.call("GET", PATH.format("v2") + "/a")
    assert found["spec"]["port"] == 81
    found["spec"]["port"] = 82
    assert (await client.call("PUT", PATH.format("v2") + "/a", found))[0] == 200
    _, found = await client.call("GET", PATH.format("v1") + "/a")
    assert found["spec"] == {"address": "box:82"}


async def test_a_list_is_converted_with_one_call_and_a_watch_as_it_goes(client: Client, hook: Hook) -> None:
    for number in range(3):
        await client.call("POST", PATH.format("v2"), host("v2", f"h{number}", host="box", port=number))
    assert hook.sizes == []
    _, listed = await client.call("GET", PATH.format("v1"))
    assert [item["spec"]["address"] for item in listed["items"]] == ["box:0", "box:1", "box:2"]
    assert hook.sizes == [3]
    watch = f"{PATH.format('v1')}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}"
    async with client.admin.get(client.base + watch) as response:
        await client.call("POST", PATH.format("v2"), host("v2", "new", host="box", port=9))
        await client.call("DELETE", PATH.format("v2") + "/new")
        events = [json.loads(await response.content.readline()) for _ in range(2)]
    assert [(event["type"], event["object"]["spec"]) for event in events] == [
        ("ADDED", {"address": "box:9"}),
        ("DELETED", {"address": "box:9"}),
    ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            lambda request: {"uid": "other", "result": {"status": "Success"}},
            'Kind=Host failed: expected response.uid="',
        ),
        (
            lambda request: {
                "uid": request["uid"],
                "result": {"status": "Failure", "message": "no such unit"},
            },
            "Kind=Host failed: no such unit",
        ),
        (
            lambda request: {**honest(request), "convertedObjects": []},
            "Kind=Host returned 0 objects, expected 1",
        ),
        (
            lambda request: {**honest(request), "convertedObjects": request["objects"]},
            "Kind=Host returned invalid object at index 0: invalid groupVersion",
        ),
    ],
)
async def test_a_webhook_that_does_not_convert_is_an_internal_error(
    client: Client, hook: Hook, answer: Callable[[Obj], Obj], expected: str
) -> None:
    await client.call("POST", PATH.format("v2"), host("v2", "a", host="box", port=1))
    hook.answer = answer
    status, error = await client.call("GET", PATH.format("v1") + "/a")
    assert status == 500
    assert error["message"].startswith("conversion webhook for convert.example.com/v2, ")
    assert expected in error["message"]
    hook.answer = honest
    assert (await client.call("GET", PATH.format("v1") + "/a"))[0] == 200


async def test_a_definition_goes_with_its_objects_even_when_nobody_converts_them(
    client: Client, hook: Hook
) -> None:
    await client.call("POST", PATH.format("v2"), host("v2", "a", host="box", port=1))
    hook.answer = lambda request: {}
    await client.call("DELETE", f"{CRDS}/hosts.convert.example.com")
    async with asyncio.timeout(60):
        while (await client.call("GET", f"{CRDS}/hosts.convert.example.com"))[0] != 404:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def admission(hook: Hook, client: Client, kind: str, changes: list[Obj]) -> AsyncIterator[list[Obj]]:
    """An admission webhook that wants to see hosts as v2 and changes them; what it was asked."""
    seen: list[Obj] = []

    async def review(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        seen.append(asked)
        response = {"uid": asked["uid"], "allowed": True}
        if changes:
            patch = base64.b64encode(json.dumps(changes).encode()).decode()
            response |= {"patch": patch, "patchType": "JSONPatch"}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        return web.json_response(body)

    with tempfile.TemporaryDirectory() as name:
        bundle = base64.b64encode(certificate(Path(name))).decode()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(Path(name) / "hook.pem")
        app = web.Application()
        app.router.add_post("/admit", review)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}/admit"
        await client.call(
            "POST",
            f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations",
            {"metadata": {"name": "hosts"}, "webhooks": [_admitting(url, bundle)]},
        )
        try:
            yield seen
        finally:
            await runner.cleanup()


def _admitting(url: str, bundle: str) -> Obj:
    rule = {
        "apiGroups": ["convert.example.com"],
        "apiVersions": ["v2"],
        "operations": ["*"],
        "resources": ["hosts"],
    }
    return {
        "name": "hosts.example.com",
        "clientConfig": {"url": url, "caBundle": bundle},
        "admissionReviewVersions": ["v1"],
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "rules": [rule],
    }


async def test_admission_sees_the_version_that_it_asks_for(hook: Hook, client: Client) -> None:
    async with admission(hook, client, "validating", []) as seen:
        status, answer = await client.call("POST", PATH.format("v1"), host("v1", "a", address="one:80"))
        assert status == 201, answer
        assert seen[0]["object"]["apiVersion"] == "convert.example.com/v2"
        assert seen[0]["object"]["spec"] == {"host": "one", "port": 80}
        assert seen[0]["requestKind"]["version"] == "v1"
        change = {"spec": {"address": "two:81"}}
        status, answer = await client.call(
            "PATCH", PATH.format("v1") + "/a", change, type="application/merge-patch+json"
        )
        assert status == 200, answer
        assert [seen[1][key]["spec"]["host"] for key in ("oldObject", "object")] == ["one", "two"]


async def test_what_admission_changes_in_its_version_is_converted_back(hook: Hook, client: Client) -> None:
    changes = [{"op": "replace", "path": "/spec/port", "value": 8080}]
    async with admission(hook, client, "mutating", changes):
        status, answer = await client.call("POST", PATH.format("v1"), host("v1", "a", address="one:80"))
        assert status == 201, answer
        assert answer["spec"] == {"address": "one:8080"}


async def test_an_object_that_admission_cannot_see_is_refused(hook: Hook, client: Client) -> None:
    async with admission(hook, client, "validating", []):
        failure = {"status": "Failure", "message": "no such host"}
        hook.answer = lambda request: {"uid": request["uid"], "result": failure}
        status, answer = await client.call("POST", PATH.format("v1"), host("v1", "a", address="one:80"))
        assert status == 500
        assert "no such host" in answer["message"]
