"""Definitions that sites use: those of this package, and one in the style of a well-known project."""

from __future__ import annotations

import asyncio
import json
from importlib import resources
from typing import Any

import pytest
import yaml
from tests.edgesite.apiserver.running import Client

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SHIPPED = sorted(
    item.name for item in (resources.files("edgelab") / "data/crds").iterdir() if item.name.endswith(".yaml")
)
GATEWAY = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: routes.gateway.example.com
spec:
  group: gateway.example.com
  names: {kind: Route, plural: routes, shortNames: [rt], categories: [gateway]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Hostnames, type: string, jsonPath: .spec.hostnames}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            properties:
              hostnames:
                type: array
                maxItems: 16
                items:
                  type: string
                  minLength: 1
                  maxLength: 253
                  pattern: ^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$
              rules:
                type: array
                maxItems: 16
                x-kubernetes-list-type: atomic
                default: [{matches: [{path: {type: PathPrefix, value: /}}]}]
                items:
                  type: object
                  x-kubernetes-validations:
                  - rule: >-
                      !(has(self.redirect) && has(self.backends) && self.backends.size() > 0)
                    message: redirect must not be used together with backends
                  properties:
                    redirect:
                      type: object
                      properties: {port: {type: integer, minimum: 1, maximum: 65535}}
                    backends:
                      type: array
                      maxItems: 16
                      items:
                        type: object
                        required: [name]
                        x-kubernetes-validations:
                        - message: Must have port for Service reference
                          rule: "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true"
                        properties:
                          group: {type: string, maxLength: 253, default: ""}
                          kind: {type: string, maxLength: 63, default: Service}
                          name: {type: string, minLength: 1, maxLength: 253}
                          port: {type: integer, format: int32, minimum: 1, maximum: 65535}
                          weight: {type: integer, format: int32, default: 1}
                    matches:
                      type: array
                      maxItems: 8
                      items:
                        type: object
                        properties:
                          path:
                            type: object
                            default: {type: PathPrefix, value: /}
                            x-kubernetes-validations:
                            - rule: >-
                                self.type in ['Exact','PathPrefix'] ? self.value.startsWith('/') : true
                              message: value must be an absolute path
                            properties:
                              type: {type: string, enum: [Exact, PathPrefix, RegularExpression]}
                              value: {type: string, maxLength: 1024, default: /}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
"""


async def serve(client: Client, text: str, path: str) -> None:
    crd = yaml.safe_load(text)
    status, answer = await client.call("POST", CRDS, crd)
    assert status == 201, answer
    async with asyncio.timeout(60):
        while (await client.call("GET", path))[0] != 200:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", SHIPPED)
async def test_shipped_definitions_are_accepted_and_served(client: Client, name: str) -> None:
    text = (resources.files("edgelab") / "data/crds" / name).read_text()
    crd = yaml.safe_load(text)
    spec = crd["spec"]
    version = next(item["name"] for item in spec["versions"] if item["served"])
    await serve(client, text, f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")
    path = f"{CRDS}/{crd['metadata']['name']}"
    states = await conditions(client, path)
    assert states[:2] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]


async def conditions(client: Client, path: str) -> list[tuple[str, str, str]]:
    _, found = await client.call("GET", path)
    return [(item["type"], item["status"], item["reason"]) for item in found["status"]["conditions"]]


async def test_a_definition_is_given_its_names_first_and_is_established_then(client: Client) -> None:
    _, made = await client.call("POST", CRDS, yaml.safe_load(GATEWAY))
    since = made["metadata"]["resourceVersion"]
    name = "fieldSelector=metadata.name%3Droutes.gateway.example.com"
    seen: list[tuple[str, ...]] = []
    async with (
        asyncio.timeout(60),
        client.admin.get(f"{client.base}{CRDS}?watch=true&{name}&resourceVersion={since}") as response,
    ):
        async for line in response.content:
            found = json.loads(line)["object"]["status"]["conditions"] or ()
            states = {item["type"]: item["status"] for item in found}
            seen.append(tuple(states.get(kind, "") for kind in ("NamesAccepted", "Established")))
            if seen[-1] == ("True", "True"):
                break
    assert ("True", "False") in seen
    assert (await client.call("GET", "/apis/gateway.example.com/v1/routes"))[0] == 200


def route(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    body = {**({"rules": list(rules)} if rules else {}), **spec}
    return {
        "apiVersion": "gateway.example.com/v1",
        "kind": "Route",
        "metadata": {"name": "r"},
        "spec": body,
    }


async def test_a_gateway_like_definition_defaults_and_refuses(client: Client) -> None:
    path = "/apis/gateway.example.com/v1/namespaces/default/routes"
    await serve(client, GATEWAY, path)
    status, made = await client.call("POST", path, route(hostnames=["*.example.com"]))
    assert (status, made["spec"]["rules"]) == (
        201,
        [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}],
    )
    cases = [
        (route(hostnames=["-bad"]), "spec.hostnames[0] in body should match"),
        (route({"redirect": {}, "backends": [{"name": "a", "port": 1}]}), "together with backends"),
        (route({"backends": [{"name": "a"}]}), "Must have port for Service reference"),
        (route({"matches": [{"path": {"type": "Exact", "value": "x"}}]}), "value must be an absolute path"),
    ]
    for body, expected in cases:
        status, error = await client.call("POST", f"{path}?dryRun=All", {**body, "metadata": {"name": "q"}})
        assert (status, expected in error["message"]) == (422, True), error


async def test_clients_of_a_deprecated_version_are_warned(client: Client) -> None:
    crd = yaml.safe_load(GATEWAY)
    old = {**crd["spec"]["versions"][0], "name": "v1beta1", "storage": False, "deprecated": True}
    crd["spec"]["versions"].append(old)
    await client.call("POST", CRDS, crd)
    path = "/apis/gateway.example.com/{}/namespaces/default/routes"
    async with asyncio.timeout(60):
        while (await client.call("GET", path.format("v1")))[0] != 200:
            await asyncio.sleep(0.02)
    async with client.admin.get(client.base + path.format("v1beta1")) as response:
        expected = "gateway.example.com/v1beta1 Route is deprecated; use gateway.example.com/v1 Route"
        assert response.headers.getall("Warning") == [f'299 - "{expected}"']
    async with client.admin.get(client.base + path.format("v1")) as response:
        assert "Warning" not in response.headers
