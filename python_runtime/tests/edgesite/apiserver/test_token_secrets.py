"""Tokens that lie in Secrets: they open what their account may, as long as Secret and account are there."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from tests.edgesite.apiserver.running import Client

SPACE = "/api/v1/namespaces/default"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
TYPE = "kubernetes.io/service-account-token"


async def filled(client: Client, name: str, account: str) -> str:
    annotations = {"kubernetes.io/service-account.name": account}
    body = {"metadata": {"name": name, "annotations": annotations}, "type": TYPE}
    assert (await client.call("POST", f"{SPACE}/secrets", body))[0] == 201
    for _ in range(100):
        _, secret = await client.call("GET", f"{SPACE}/secrets/{name}")
        if "token" in (secret.get("data") or {}):
            return base64.b64decode(secret["data"]["token"]).decode()
        await asyncio.sleep(0.02)
    raise AssertionError("nobody filled the Secret")


async def review(client: Client, token: str) -> Any:
    body = {"kind": "TokenReview", "spec": {"token": token}}
    return (await client.call("POST", REVIEWS, body))[1]["status"]


async def test_a_token_in_a_secret_lasts_as_long_as_secret_and_account(client: Client) -> None:
    body: dict[str, Any] = {"metadata": {"name": "bob"}}
    assert (await client.call("POST", f"{SPACE}/serviceaccounts", body))[0] == 201
    first, second = await filled(client, "first", "bob"), await filled(client, "second", "bob")
    found = await review(client, first)
    assert found["authenticated"]
    assert found["user"]["username"] == "system:serviceaccount:default:bob"
    assert (await client.call("GET", "/api", token=first))[0] == 200

    head, claims, signature = first.split(".")
    forged = f"{head}.{claims}.{signature[:-4]}AAAA"
    assert (await client.call("GET", "/api", token=forged))[0] == 401
    await client.call("DELETE", f"{SPACE}/secrets/first")
    assert (await client.call("GET", "/api", token=first))[0] == 401
    assert (await review(client, first))["error"] == "[invalid bearer token, Token has been invalidated]"
    assert (await client.call("GET", "/api", token=second))[0] == 200

    await client.call("DELETE", f"{SPACE}/serviceaccounts/bob")
    assert (await client.call("GET", "/api", token=second))[0] == 401


async def test_a_changed_secret_ends_its_token(client: Client) -> None:
    await client.call("POST", f"{SPACE}/serviceaccounts", {"metadata": {"name": "bob"}})
    token = await filled(client, "s", "bob")
    other = {"data": {"token": base64.b64encode(b"other").decode()}}
    await client.call("PATCH", f"{SPACE}/secrets/s", other, type="application/merge-patch+json")
    assert (await client.call("GET", "/api", token=token))[0] == 401
    assert (await review(client, token))["error"].endswith("Token does not match server's copy]")
