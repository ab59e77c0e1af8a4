"""Certificates, token Secrets and bootstrap tokens over time, on an API in memory."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.edgesite.site import Site
from tests.edgesite.site import site as bare_site

from edgelab.daemon.clock import rfc3339
from edgelab.daemon.tasks import run_modules
from edgelab.edgesite import controllers
from edgelab.edgesite.controllers.bootstrap_tokens import detached
from edgelab.edgesite.controllers.certificate_requests import is_old
from edgelab.edgesite.controllers.support.trust import Trust
from edgelab.kube.resources import CLUSTER_ROLES, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS

Obj = dict[str, Any]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """The controllers that hand out credentials, with a signer that says whose token it is."""
    trust = Trust(
        "CA",
        lambda account, secret: f"token of {account['metadata']['uid']}",
        lambda _: b"",
        lambda *_: False,
    )
    made = Site()
    for name in ("default", "kube-system", "kube-public"):
        await made.namespace(name)
    task = asyncio.create_task(run_modules(controllers.build(made.api, made.clock, trust=trust)))
    await made.settle()
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def token_secret(site: Site, name: str, account: str) -> Obj:
    return await site.api.create(
        SECRETS,
        {
            "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}},
            "type": "kubernetes.io/service-account-token",
        },
        "default",
    )


def find(site: Site, resource: Any, name: str, namespace: str = "default") -> Obj | None:
    return site.api.objects.get(resource, {}).get((namespace, name))


async def test_a_token_secret_is_filled_kept_and_goes_with_its_account() -> None:
    async with site() as made:
        account = await made.api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "bob"}}, "default")
        await token_secret(made, "s", "bob")
        await made.settle()
        secret = find(made, SECRETS, "s")
        assert secret is not None
        assert secret["data"] == {
            "ca.crt": encoded("CA"),
            "namespace": encoded("default"),
            "token": encoded(f"token of {account['metadata']['uid']}"),
        }
        annotations = secret["metadata"]["annotations"]
        assert annotations["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]
        await made.api.patch(SECRETS, "s", {"data": {"ca.crt": encoded("other")}}, "default")
        await made.settle()
        secret = find(made, SECRETS, "s")
        assert secret is not None
        assert secret["data"]["ca.crt"] == encoded("CA")
        await made.api.delete(SERVICE_ACCOUNTS, "bob", "default")
        await made.settle()
        assert find(made, SECRETS, "s") is None


async def test_a_token_secret_of_nobody_is_deleted_and_others_are_left_alone() -> None:
    async with site() as made:
        await token_secret(made, "s", "nobody")
        await made.api.create(SECRETS, {"metadata": {"name": "o"}, "type": "Opaque"}, "default")
        await made.settle()
        assert find(made, SECRETS, "s") is None
        assert find(made, SECRETS, "o") is not None


async def bootstrap_token(site: Site, **data: str) -> None:
    values = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-signing": "true",
    } | data
    secret = {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key.replace("_", "-"): encoded(value) for key, value in values.items()},
    }
    await site.api.create(SECRETS, secret, "kube-system")


async def test_cluster_info_is_signed_until_the_token_expires() -> None:
    async with site() as made:
        info = {
            "metadata": {"name": "cluster-info"},
            "data": {"kubeconfig": "text", "jws-kubeconfig-old000": "x"},
        }
        await made.api.create(CONFIG_MAPS, info, "kube-public")
        await bootstrap_token(made, expiration=rfc3339(made.clock.now() + dt.timedelta(seconds=30)))
        await made.settle()
        found = find(made, CONFIG_MAPS, "cluster-info", "kube-public")
        assert found is not None
        assert found["data"] == {
            "kubeconfig": "text",
            "jws-kubeconfig-abcdef": detached("text", "abcdef", "0123456789abcdef"),
        }
        await made.settle(32)
        assert find(made, SECRETS, "bootstrap-token-abcdef", "kube-system") is None
        found = find(made, CONFIG_MAPS, "cluster-info", "kube-public")
        assert found is not None
        assert found["data"] == {"kubeconfig": "text"}


def test_a_signature_is_that_of_rfc_7515() -> None:
    head, content, signature = detached("text", "abcdef", "0123456789abcdef").split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "kid": "abcdef"}
    assert content == ""
    assert len(base64.urlsafe_b64decode(signature + "=")) == 32


@pytest.mark.parametrize(
    ("condition", "certificate", "hours", "old"),
    [
        (None, "", 23, False),
        (None, "", 25, True),
        ("Approved", "", 2, False),
        ("Approved", "", 25, True),
        ("Approved", "x", 0.9, False),
        ("Approved", "x", 1.1, True),
        ("Denied", "", 1.1, True),
        ("Failed", "", 1.1, True),
        ("Other", "", 30, False),
    ],
)
def test_requests_are_forgotten_as_their_state_says(
    condition: str | None, certificate: str, hours: float, old: bool
) -> None:
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    moment = rfc3339(now - dt.timedelta(hours=hours))
    conditions = [{"type": condition, "status": "True", "lastUpdateTime": moment}] if condition else []
    status = {"conditions": conditions, "certificate": certificate}
    request = {"metadata": {"name": "r", "creationTimestamp": moment}, "status": status}
    assert is_old(request, now) is old


def test_a_request_is_old_when_its_certificate_has_expired() -> None:
    issued = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "n")])
    until = issued + dt.timedelta(minutes=10)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(issued).not_valid_after(until)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    condition = {"type": "Approved", "lastUpdateTime": rfc3339(issued)}
    request = {
        "metadata": {"creationTimestamp": rfc3339(issued)},
        "status": {"conditions": [condition], "certificate": base64.b64encode(pem).decode()},
    }
    ages = {minutes: is_old(request, issued + dt.timedelta(minutes=minutes)) for minutes in (9, 11)}
    assert ages == {9: False, 11: True}


async def test_an_aggregated_role_follows_what_it_selects() -> None:
    async with bare_site(with_scheduler=False) as made:
        part = {"metadata": {"name": "part", "labels": {"to": "x"}}, "rules": [{"verbs": ["get"]}]}
        await made.api.create(CLUSTER_ROLES, part)
        whole = {"clusterRoleSelectors": [{"matchLabels": {"to": "x"}}]}
        await made.api.create(CLUSTER_ROLES, {"metadata": {"name": "whole"}, "aggregationRule": whole})
        await made.settle()
        found = find(made, CLUSTER_ROLES, "whole", "")
        assert found is not None
        assert found["rules"] == [{"verbs": ["get"]}]
        await made.api.delete(CLUSTER_ROLES, "part")
        await made.settle()
        found = find(made, CLUSTER_ROLES, "whole", "")
        assert found is not None
        assert found["rules"] is None
