"""Client certificates over real TLS: whose they are, until when, and of which authority."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from tests.edgesite.apiserver.running import Client, driven
from tests.edgesite.driven import run

from edgelab.identity.ca import CertificateAuthority, KeyPair

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def authority(client: Client, clock: Any = None) -> CertificateAuthority:
    keys = client.site.keys
    arguments = [clock] if clock is not None else []
    return CertificateAuthority.load(keys.ca_pem, keys.ca_key, *arguments)


async def ask(
    client: Client, pair: KeyPair, method: str = "POST", path: str = WHO, **headers: str
) -> tuple[int, Any]:
    for name, data in (("c.crt", pair.cert_pem), ("c.key", pair.key_pem)):
        (client.directory / name).write_bytes(data)
    context = ssl.create_default_context(cadata=client.site.keys.ca_pem.decode())
    context.load_cert_chain(client.directory / "c.crt", client.directory / "c.key")
    body = (
        {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"} if method == "POST" else None
    )
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, client.base + path, json=body, headers=headers) as response,
    ):
        return response.status, await response.json()


async def test_a_certificate_names_user_and_groups(client: Client) -> None:
    pair = authority(client).issue(common_name="anna", organization="dev", client=True)
    status, answer = await ask(client, pair)
    assert status == 201
    found = answer["status"]["userInfo"]
    assert found["username"] == "anna"
    assert found["groups"] == ["dev", "system:authenticated"]
    (credential,) = found["extra"]["authentication.kubernetes.io/credential-id"]
    assert credential.startswith("X509SHA256=")


async def test_expired_foreign_and_serving_certificates_are_401(client: Client) -> None:
    ours = authority(client)
    past = authority(client, lambda: dt.datetime.now(dt.UTC) - dt.timedelta(days=30))
    foreign = CertificateAuthority.create("edgesite-ca")
    for pair in (
        past.issue(common_name="anna", client=True, days=10),
        foreign.issue(common_name="system:admin", organization="system:masters", client=True),
        ours.issue(common_name="anna", server=True),
    ):
        status, answer = await ask(client, pair)
        assert (status, answer["message"], answer["reason"]) == (401, "Unauthorized", "Unauthorized")


async def test_a_token_helps_who_has_a_wrong_certificate(client: Client) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    for _ in range(50):
        status, answer = await client.call("POST", path, {"spec": {}})
        if status == 201:
            break
    foreign = CertificateAuthority.create("other").issue(common_name="anna", client=True)
    status, answer = await ask(client, foreign, Authorization=f"Bearer {answer['status']['token']}")
    assert status == 201
    assert answer["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"


def test_a_connection_does_not_outlive_its_certificate(tmp_path: Path) -> None:
    assert run(asked_in_time_and_late(tmp_path)) == [200, 200, 401]


async def asked_in_time_and_late(tmp_path: Path) -> list[int]:
    """What one connection is answered at once, and twice after 45 seconds of the 60 that it may last."""
    codes = []
    async with driven(tmp_path) as (client, clock):
        begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=1) + dt.timedelta(seconds=60)
        pair = authority(client, lambda: begin).issue(common_name="anna", client=True, days=1)
        for name, data in (("c.crt", pair.cert_pem), ("c.key", pair.key_pem)):
            (tmp_path / name).write_bytes(data)
        context = ssl.create_default_context(cadata=client.site.keys.ca_pem.decode())
        context.load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=1)) as session:
            for _ in range(3):
                async with session.get(client.base + "/api") as response:
                    codes.append(response.status)
                await clock.sleep(45)
    return codes
