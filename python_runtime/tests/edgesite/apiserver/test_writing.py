"""Writes: conflicts, custom resources, server-side apply, protobuf, services, immutability."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.edgesite.apiserver.running import Client

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
APPLY = {"type": "application/apply-patch+yaml"}
MERGE = {"type": "application/merge-patch+json"}


def deployment(name: str = "web", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


async def test_of_two_conditional_updates_one_wins(client: Client) -> None:
    _, created = await client.call("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "0"}})
    bodies = [{**created, "data": {"k": str(number)}} for number in range(1, 9)]
    answers = await asyncio.gather(*(client.call("PUT", f"{MAPS}/a", body) for body in bodies))
    assert sorted(status for status, _ in answers) == [200] + [409] * 7


async def test_concurrent_patches_all_arrive(client: Client) -> None:
    await client.call("POST", MAPS, {"metadata": {"name": "a"}})
    patches = [{"data": {f"k{number}": "v"}} for number in range(30)]
    answers = await asyncio.gather(*(client.call("PATCH", f"{MAPS}/a", patch, **MERGE) for patch in patches))
    assert {status for status, _ in answers} == {200}
    _, found = await client.call("GET", f"{MAPS}/a")
    assert len(found["data"]) == 30


async def test_a_deployment_gets_its_defaults_and_counts_generations(client: Client) -> None:
    _, created = await client.call("POST", DEPLOYMENTS, deployment())
    assert created["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert created["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    _, labelled = await client.call(
        "PATCH", f"{DEPLOYMENTS}/web", {"metadata": {"labels": {"a": "b"}}}, **MERGE
    )
    assert labelled["metadata"]["generation"] == 1
    _, scaled = await client.call("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 3}}, **MERGE)
    assert scaled["kind"] == "Scale"
    _, found = await client.call("GET", f"{DEPLOYMENTS}/web")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (3, 2)


async def test_a_selector_must_select_the_template_and_stays(client: Client) -> None:
    status, answer = await client.call(
        "POST", DEPLOYMENTS, deployment(selector={"matchLabels": {"app": "x"}})
    )
    assert (status, answer["details"]["causes"][0]["field"]) == (422, "spec.template.metadata.labels")
    await client.call("POST", DEPLOYMENTS, deployment())
    patch = {
        "spec": {"selector": {"matchLabels": {"x": "y"}}, "template": {"metadata": {"labels": {"x": "y"}}}}
    }
    status, answer = await client.call("PATCH", f"{DEPLOYMENTS}/web", patch, **MERGE)
    assert (status, answer["details"]["causes"][0]["field"]) == (422, "spec.selector")


async def test_apply_keeps_account_of_owners(client: Client) -> None:
    path = f"{MAPS}/owned?fieldManager="
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}}
    one["data"] = {"a": "1", "b": "1"}
    status, created = await client.call("PATCH", f"{path}one", one, **APPLY)
    assert (status, created["data"]) == (201, {"a": "1", "b": "1"})
    status, again = await client.call("PATCH", f"{path}one", one, **APPLY)
    assert again["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    await client.call("PATCH", f"{MAPS}/owned?fieldManager=editor", {"data": {"b": "2"}}, **MERGE)
    status, conflict = await client.call("PATCH", f"{path}one", one, **APPLY)
    assert (status, conflict["details"]["causes"][0]["field"]) == (409, ".data.b")
    status, forced = await client.call("PATCH", f"{path}one&force=true", one, **APPLY)
    assert forced["data"] == {"a": "1", "b": "1"}
    status, less = await client.call("PATCH", f"{path}one", {**one, "data": {"b": "1"}}, **APPLY)
    assert less["data"] == {"b": "1"}


async def test_apply_merges_containers_by_name(client: Client) -> None:
    await client.call("PATCH", f"{DEPLOYMENTS}/web?fieldManager=one", deployment(), **APPLY)
    other = deployment()
    other["spec"] = {"template": {"spec": {"containers": [{"name": "side", "image": "s"}]}}}
    _, merged = await client.call("PATCH", f"{DEPLOYMENTS}/web?fieldManager=two", other, **APPLY)
    assert [item["name"] for item in merged["spec"]["template"]["spec"]["containers"]] == ["c", "side"]
    other["spec"] = {"paused": True}
    _, merged = await client.call("PATCH", f"{DEPLOYMENTS}/web?fieldManager=two", other, **APPLY)
    assert [item["name"] for item in merged["spec"]["template"]["spec"]["containers"]] == ["c"]


def _text(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


async def test_typed_go_clients_may_send_protobuf(client: Client) -> None:
    entry = _text(1, b"k") + _text(2, b"v")
    config = _text(1, _text(1, b"typed") + _text(3, b"")) + _text(2, entry)
    body = b"k8s\x00" + _text(1, _text(1, b"v1") + _text(2, b"ConfigMap")) + _text(2, config)
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    async with client.admin.post(client.base + MAPS, data=body, headers=headers) as response:
        created = await response.json()
    assert (response.status, created["data"], created["metadata"]["name"]) == (201, {"k": "v"}, "typed")
    async with client.admin.post(client.base + MAPS, data=body[:-3], headers=headers) as response:
        assert response.status == 400


async def test_services_get_addresses_that_nobody_else_has(client: Client) -> None:
    path = "/api/v1/namespaces/default/services"
    bodies = [
        {"metadata": {"name": f"s{n}"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
        for n in range(20)
    ]
    created = [
        body for _, body in await asyncio.gather(*(client.call("POST", path, body) for body in bodies))
    ]
    assert len({item["spec"]["clusterIP"] for item in created} | {"10.96.0.1"}) == 21
    assert len({item["spec"]["ports"][0]["nodePort"] for item in created}) == 20
    first = created[0]["spec"]["clusterIP"]
    status, _ = await client.call(
        "POST",
        path,
        {**bodies[0], "metadata": {"name": "t"}, "spec": {**bodies[0]["spec"], "clusterIP": first}},
    )
    assert status == 422
    _, patched = await client.call("PATCH", f"{path}/s0", {"metadata": {"labels": {"a": "b"}}}, **MERGE)
    assert patched["spec"]["clusterIP"] == first


async def test_unknown_fields_are_dropped_with_a_warning_or_refused(client: Client) -> None:
    body = {"metadata": {"name": "a"}, "nonsense": 1}
    async with client.admin.post(client.base + MAPS, json=body) as response:
        assert response.status == 201
        assert response.headers["Warning"] == '299 - "unknown field \\"nonsense\\""'
    body["metadata"] = {"name": "b"}
    status, answer = await client.call("POST", f"{MAPS}?fieldValidation=Strict", body)
    assert (status, answer["reason"]) == (400, "BadRequest")


async def test_the_namespaces_of_the_system_stay(client: Client) -> None:
    status, answer = await client.call("DELETE", "/api/v1/namespaces/default")
    assert (status, answer["message"]) == (
        403,
        'namespaces "default" is forbidden: this namespace may not be deleted',
    )


async def test_nothing_new_in_a_namespace_that_ends(client: Client) -> None:
    await client.call("POST", "/api/v1/namespaces", {"metadata": {"name": "ending"}})
    path = "/api/v1/namespaces/ending/configmaps"
    await client.call("POST", path, {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}})
    await client.call("DELETE", "/api/v1/namespaces/ending")
    status, answer = await client.call("POST", path, {"metadata": {"name": "late"}})
    assert (status, answer["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")


async def test_objects_of_a_custom_resource_outlive_a_restart_of_their_version(client: Client) -> None:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    }
    versions = [
        {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}},
        {"name": "v1beta1", "served": True, "storage": False, "schema": {"openAPIV3Schema": schema}},
    ]
    crd = {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": versions,
        },
    }
    await client.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    async with asyncio.timeout(60):
        while (await client.call("GET", "/apis/example.com/v1/things"))[0] != 200:
            await asyncio.sleep(0.05)
    thing = {
        "apiVersion": "example.com/v1beta1",
        "kind": "Thing",
        "metadata": {"name": "t"},
        "spec": {"n": 1},
    }
    await client.call("POST", "/apis/example.com/v1beta1/things", thing)
    for version in ("v1", "v1beta1"):
        _, found = await client.call("GET", f"/apis/example.com/{version}/things/t")
        assert found["apiVersion"] == f"example.com/{version}"
    thing["apiVersion"] = "example.com/v1"
    status, answer = await client.call("PUT", "/apis/example.com/v1/things/t", thing)
    assert (status, answer["details"]["causes"][0]["field"]) == (422, "metadata.resourceVersion")


async def test_options_of_a_wrong_type_are_refused_and_delete_nothing(client: Client) -> None:
    await client.call("POST", MAPS, {"metadata": {"name": "a"}})
    cases: list[tuple[Any, str]] = [
        ([], "array"),
        ({"preconditions": "x"}, "preconditions"),
        ({"gracePeriodSeconds": "x"}, "gracePeriodSeconds"),
    ]
    for body, field in cases:
        for path in (f"{MAPS}/a", MAPS):
            status, answer = await client.call("DELETE", path, body)
            assert (status, answer["reason"]) == (400, "BadRequest")
            assert field in answer["message"]
    assert (await client.call("GET", f"{MAPS}/a"))[0] == 200


async def test_a_token_request_of_a_wrong_type_is_refused(client: Client) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts"
    await client.call("POST", path, {"metadata": {"name": "bob"}})
    cases: list[tuple[Any, str]] = [
        ([], "TokenRequest"),
        ({"spec": "x"}, "spec"),
        ({"spec": {"expirationSeconds": "x"}}, "spec.expirationSeconds"),
        ({"spec": {"boundObjectRef": []}}, "spec.boundObjectRef"),
    ]
    for body, field in cases:
        status, answer = await client.call("POST", f"{path}/bob/token", body)
        assert (status, answer["reason"]) == (400, "BadRequest")
        assert field in answer["message"]


async def test_accounts_of_fields_that_are_none_are_ignored(client: Client) -> None:
    path = "/apis/networking.k8s.io/v1/ingressclasses"
    body = {"metadata": {"name": "odd"}, "spec": {"controller": "example.com/x"}}
    _, made = await client.call("POST", path, body)
    account = {**made["metadata"]["managedFields"][0], "fieldsV1": {"f:spec": {"f:controller": "x"}}}
    changed = {**made, "metadata": {**made["metadata"], "managedFields": [account], "labels": {"a": "b"}}}
    status, answer = await client.call("PUT", f"{path}/odd", changed)
    assert status == 200
    owned = [entry["fieldsV1"] for entry in answer["metadata"]["managedFields"]]
    assert any(fields.get("f:spec") == {"f:controller": {}} for fields in owned)


async def test_empty_parameters_stay_empty_and_can_be_written_back(client: Client) -> None:
    path = "/apis/resource.k8s.io/v1/deviceclasses"
    config = [{"opaque": {"driver": "b.example.com", "parameters": {}}}]
    status, made = await client.call("POST", path, {"metadata": {"name": "d"}, "spec": {"config": config}})
    assert (status, made["spec"]["config"]) == (201, config)
    assert (await client.call("PUT", f"{path}/d", made))[0] == 200
