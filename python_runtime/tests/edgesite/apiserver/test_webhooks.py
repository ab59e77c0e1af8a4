"""Admission webhooks are called, and what they say holds."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from edgelab.daemon.clock import SYSTEM
from edgelab.edgesite import keys
from edgelab.edgesite.store import Key
from edgelab.identity.ca import CertificateAuthority

from .running import Client

Obj = dict[str, Any]
Answer = Callable[[Obj], Obj]

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"


@asynccontextmanager
async def serving(
    client: Client, answer: Answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[Obj]]]:
    """A webhook with EdgeSite's own certificate, and the requests that it got."""
    seen: list[Obj] = []

    async def review(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        seen.append(asked)
        response = {"uid": asked["uid"], **answer(asked)}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        return web.json_response(body)

    app = web.Application()
    app.router.add_post("/hook", review)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(
        runner, "127.0.0.1", 0, ssl_context=tls or keys.server_context(client.directory / "data/tls")
    )
    await site.start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/hook", seen
    finally:
        await runner.cleanup()


async def configure(
    client: Client, kind: str, url: str, *, called: str = "", service: Obj | None = None, **more: Any
) -> None:
    hook = {
        "name": "hook.example.com",
        "clientConfig": {
            **({"url": url} if service is None else {"service": service}),
            "caBundle": base64.b64encode(client.site.keys.ca_pem).decode(),
        },
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
        ],
        **more,
    }
    body = {"metadata": {"name": called or kind}, "webhooks": [hook]}
    status, answer = await client.call("POST", CONFIGURATIONS.format(kind), body)
    assert status == 201, answer


def patching(*changes: Obj) -> Answer:
    patch = base64.b64encode(json.dumps(changes).encode()).decode()
    return lambda asked: {"allowed": True, "patch": patch, "patchType": "JSONPatch"}


async def test_a_mutating_webhook_changes_what_is_stored(client: Client) -> None:
    change = {"op": "add", "path": "/data/added", "value": "yes"}
    async with serving(client, patching(change)) as (url, seen):
        await configure(client, "mutating", url)
        status, made = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"a": "b"}})
        assert (status, made["data"]) == (201, {"a": "b", "added": "yes"})
        _, stored = await client.call("GET", f"{CONFIG_MAPS}/c")
        assert stored["data"] == {"a": "b", "added": "yes"}
        status, _ = await client.call("PATCH", f"{CONFIG_MAPS}/c", {"data": {"added": "no"}}, type=MERGE)
        assert status == 200
        _, stored = await client.call("GET", f"{CONFIG_MAPS}/c")
        assert stored["data"]["added"] == "yes"
    assert [(item["operation"], item["name"]) for item in seen] == [("CREATE", "c"), ("UPDATE", "c")]
    assert "system:masters" in seen[0]["userInfo"]["groups"]
    assert seen[1]["oldObject"]["data"] == {"a": "b", "added": "yes"}


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({"code": 418, "message": "no tea"}, 418, "denied the request: no tea"),
        ({}, 400, "denied the request without explanation"),
    ],
)
async def test_a_validating_webhook_refuses(client: Client, status: Obj, code: int, message: str) -> None:
    async with serving(client, lambda asked: {"allowed": False, "status": status}) as (url, seen):
        await configure(client, "validating", url)
        found, answer = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})
        assert found == code
        assert answer["message"] == f'admission webhook "hook.example.com" {message}'
        found, _ = await client.call("DELETE", f"{CONFIG_MAPS}/kube-root-ca.crt")
        assert found in {code, 404}
    assert seen[0]["object"]["metadata"]["name"] == "c"


async def test_a_webhook_that_does_not_answer_stops_writes_unless_it_may_fail(client: Client) -> None:
    await configure(client, "validating", "https://127.0.0.1:1/hook", timeoutSeconds=1)
    code, answer = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})
    assert code == 500
    assert answer["message"].startswith(
        'Internal error occurred: failed calling webhook "hook.example.com": failed to call webhook: Post'
        ' "https://127.0.0.1:1/hook?timeout=1s"'
    )
    path = CONFIGURATIONS.format("validating") + "/validating"
    patch = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    code, answer = await client.call("PATCH", path, patch, type="application/json-patch+json")
    assert code == 200, answer
    code, _ = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})
    assert code == 201


async def test_selectors_and_dry_runs_keep_requests_from_a_webhook(client: Client) -> None:
    async with serving(client, lambda asked: {"allowed": True}) as (url, seen):
        await configure(
            client,
            "validating",
            url,
            objectSelector={"matchLabels": {"watched": "yes"}},
            namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "default"}},
        )
        for namespace, labels in (("default", {}), ("kube-system", {"watched": "yes"})):
            path = f"/api/v1/namespaces/{namespace}/configmaps"
            code, _ = await client.call("POST", path, {"metadata": {"name": "plain", "labels": labels}})
            assert code == 201
        assert not seen
        body = {"metadata": {"name": "watched", "labels": {"watched": "yes"}}}
        code, _ = await client.call("POST", f"{CONFIG_MAPS}?dryRun=All", body)
        assert code == 201
    assert [item["dryRun"] for item in seen] == [True]


async def test_webhooks_that_want_to_are_called_again_when_all_others_have_been(client: Client) -> None:
    order: list[str] = []

    def answering(name: str, change: Obj | None) -> Answer:
        def answer(asked: Obj) -> Obj:
            order.append(name)
            return patching(change)(asked) if change is not None else {"allowed": True}

        return answer

    added = {"op": "add", "path": "/data/by", "value": "second"}
    async with (
        serving(client, answering("first", None)) as (first, _),
        serving(client, answering("second", added)) as (second, _),
        serving(client, answering("third", None)) as (third, _),
    ):
        policies = (("first", first, "IfNeeded"), ("second", second, "Never"), ("third", third, "IfNeeded"))
        for name, url, policy in policies:
            await configure(client, "mutating", url, called=name, reinvocationPolicy=policy)
        code, made = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"a": "b"}})
    assert (code, made["data"]) == (201, {"a": "b", "by": "second"})
    assert order == ["first", "second", "third", "first"]


@pytest.mark.parametrize(
    ("kind", "response", "message"),
    [
        (
            "mutating",
            {"patch": base64.b64encode(b"{}").decode(), "patchType": "JSONPatch"},
            "received undecodable patch in webhook response: json: cannot unmarshal object into Go value of"
            " type jsonpatch.Patch",
        ),
        (
            "mutating",
            {"patch": base64.b64encode(b"[]").decode()},
            "received invalid webhook response: webhook returned response.patch but not response.patchType",
        ),
        (
            "validating",
            {"patch": base64.b64encode(b"[]").decode(), "patchType": "JSONPatch"},
            "received invalid webhook response: validating webhook may not return response.patch",
        ),
        ("validating", {"uid": "other"}, 'received invalid webhook response: expected response.uid="'),
    ],
)
async def test_a_webhook_that_answers_wrongly_has_failed(
    client: Client, kind: str, response: Obj, message: str
) -> None:
    async with serving(client, lambda asked: {"allowed": True, **response}) as (url, _):
        await configure(client, kind, url)
        code, answer = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})
        assert code == 500
        text = f'failed calling webhook "hook.example.com": {message}'
        assert answer["message"].startswith(f"Internal error occurred: {text}")
        assert answer["details"]["causes"][0]["message"].startswith(text)
        path = CONFIGURATIONS.format(kind) + f"/{kind}"
        patch = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
        await client.call("PATCH", path, patch, type="application/json-patch+json")
        code, _ = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})
        assert code == 201


async def test_webhooks_write_into_the_audit_log_and_warn_once(client: Client) -> None:
    contexts: list[Any] = []
    registry = client.site.registry
    put = registry.put_new

    def noted(kind: Any, obj: Obj, context: Any) -> Any:
        contexts.append(context)
        return put(kind, obj, context)

    registry.put_new = noted  # type: ignore[method-assign]
    response = {"allowed": True, "auditAnnotations": {"seen": "yes"}, "warnings": ["mind", "mind"]}
    async with serving(client, lambda asked: response) as (url, _):
        await configure(client, "mutating", url)
        code, _ = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})
    assert code == 201
    context = contexts[-1]
    assert context.warnings == ["mind"]
    assert context.annotations == {
        "hook.example.com/seen": "yes",
        "mutation.webhook.admission.k8s.io/round_0_index_0": '{"configuration":"mutating",'
        '"webhook":"hook.example.com","mutated":false}',
    }


async def test_a_rule_for_a_resource_is_none_for_its_subresources(client: Client) -> None:
    async with serving(client, lambda asked: {"allowed": True}) as (url, seen):
        rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["namespaces"]}
        await configure(client, "validating", url, rules=[rule])
        code, _ = await client.call("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
        assert code == 201
        patch = {"status": {"conditions": []}}
        path = "/api/v1/namespaces/n/status"
        code, _ = await client.call("PATCH", path, patch, type=MERGE)
        assert code == 200
        mine = [(item["operation"], item["name"], item["namespace"]) for item in seen if item["name"] == "n"]
    assert mine == [("CREATE", "n", "n")]


def served_as(client: Client, name: str, directory: Path) -> ssl.SSLContext:
    """A server that has a certificate of the site for one name only."""
    material = client.site.keys
    authority = CertificateAuthority.load(material.ca_pem, material.ca_key, SYSTEM.now)
    issued = authority.issue(common_name=name, dns_names=[name], server=True)
    (directory / "hook.crt").write_bytes(issued.cert_pem)
    (directory / "hook.key").write_bytes(issued.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "hook.crt", directory / "hook.key")
    return context


async def test_a_service_is_called_at_its_endpoints_under_its_own_name(
    client: Client, tmp_path: Path
) -> None:
    tls = served_as(client, "hook.default.svc", tmp_path)
    async with serving(client, lambda asked: {"allowed": True}, tls) as (url, seen):
        service = {"name": "hook", "namespace": "default", "path": "/hook", "port": 8443}
        await configure(client, "validating", "", service=service)
        body = {"metadata": {"name": "c"}}
        shown = 'failed to call webhook: Post "https://hook.default.svc:8443/hook": '

        async def refused() -> str:
            code, answer = await client.call("POST", f"{CONFIG_MAPS}?dryRun=All", body)
            assert code == 500
            return str(answer["message"]).rpartition('"hook.example.com": ')[2]

        assert await refused() == f'{shown}service "hook" not found'
        ports = [{"name": "https", "port": 8443, "targetPort": 1}, {"name": "other", "port": 80}]
        made = {"metadata": {"name": "hook"}, "spec": {"ports": ports}}
        code, answer = await client.call("POST", "/api/v1/namespaces/default/services", made)
        assert code == 201, answer
        assert await refused() == f'{shown}no endpoints available for service "hook"'
        number = int(url.rpartition(":")[2].partition("/")[0])
        await endpoints(client, [{"name": "other", "port": 1}, {"name": "https", "port": number}])
        code, answer = await client.call("POST", f"{CONFIG_MAPS}?dryRun=All", body)
        assert code == 201, answer
    assert [asked["name"] for asked in seen] == ["c"]


async def endpoints(client: Client, ports: list[Obj]) -> None:
    """Endpoints in the store: the API would refuse a loopback address."""
    name = "discovery.k8s.io/endpointslices"
    labels = {"kubernetes.io/service-name": "hook"}
    metadata = {"name": "hook", "namespace": "default", "labels": labels, "uid": "u"}
    kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
    body = {**kind, "metadata": metadata, "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": ports}

    def encoded(revision: int) -> bytes:
        return json.dumps({**body, "metadata": {**metadata, "resourceVersion": str(revision)}}).encode()

    await client.site.store.put(Key(name, "default", "hook"), encoded)
