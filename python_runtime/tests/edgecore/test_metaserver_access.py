"""Who may ask the MetaServer what: tokens, and the rules that CloudCore told."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import IPAddress, SubjectAlternativeName, load_pem_x509_csr

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.metamanager.metaserver.access import Access, User, allows
from edgelab.edgecore.metamanager.metaserver.http import Request, Response
from edgelab.edgecore.metamanager.metaserver.server import split
from edgelab.edgecore.metamanager.metaserver.targets import Target
from edgelab.edgecore.store import META_TABLES, Store
from edgelab.identity import serving
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Key
from edgelab.settings.edgecore import MetaServer as Settings

ISSUER = "https://kubernetes.default.svc.cluster.local"
READER = User("default", "reader", "u1")


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(algorithm: str = "RS256", **changes: Any) -> str:
    now = dt.datetime.now(dt.UTC).timestamp()
    account = {"serviceaccount": {"name": "reader", "uid": "u1"}}
    claims = {
        "iss": ISSUER,
        "sub": "system:serviceaccount:default:reader",
        "aud": [ISSUER],
        "exp": now + 60,
        "kubernetes.io": account,
    }
    parts = ({"alg": algorithm}, {**claims, **changes})
    return ".".join(encoded(json.dumps(part).encode()) for part in parts)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "edgecore.db", META_TABLES) as store:
        yield store


def access(store: Store, **settings: Any) -> Access:
    async def handler(request: Request) -> Response:
        return Response(200, request.path.encode())

    return Access(Settings(**settings), store, SYSTEM, handler)


async def keep(store: Store, token: str) -> None:
    value = json.dumps({"status": {"token": token}}).encode()
    await store.submit([rows.put("a token", "serviceaccounttoken", value)])


async def grant(store: Store, **spec: Any) -> None:
    value = json.dumps({"spec": {"serviceAccountUid": "u1", **spec}}).encode()
    await store.submit([rows.put("default/serviceaccountaccess/reader", "serviceaccountaccess", value)])


def request(method: str, path: str, token: str = "") -> Request:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return Request(method, path, {}, [], headers)


async def test_a_token_that_this_node_got_is_good(store: Store) -> None:
    token = unsigned() + ".signature"
    gate = access(store)
    with pytest.raises(ApiError, match="not made for a pod of this node") as caught:
        await gate.user(f"Bearer {token}")
    assert caught.value.code == 401
    await keep(store, token)
    assert await gate.user(f"Bearer {token}") == READER
    assert str(READER) == "system:serviceaccount:default:reader"
    assert await gate.user("") is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://elsewhere"}, "none of serviceAccountIssuers"),
        ({"aud": "vault"}, "the token is for"),
        ({"exp": 5}, "not valid at this time"),
        ({"nbf": 9e9}, "not valid at this time"),
        ({"sub": "jane"}, "no token of a ServiceAccount"),
        ({"sub": "other:jane"}, "is no ServiceAccount"),
        ({"exp": "soon"}, "no token of a ServiceAccount"),
    ],
)
async def test_claims_that_are_wrong(changes: dict[str, Any], why: str, store: Store) -> None:
    token = unsigned(**changes) + ".signature"
    await keep(store, token)
    with pytest.raises(ApiError, match=why):
        await access(store).user(f"Bearer {token}")


@pytest.mark.parametrize("header", ["Basic eDp5", "Bearer ", "Bearer a.b.c", "Bearer x", "Bearer ..."])
async def test_what_is_no_token(header: str, store: Store) -> None:
    with pytest.raises(ApiError) as caught:
        await access(store).user(header)
    assert caught.value.code == 401


async def test_signatures_are_checked_by_a_child_when_keys_are_named(store: Store, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "sa.pub").write_bytes(public)
    head = unsigned()
    signature = key.sign(head.encode(), padding.PKCS1v15(), hashes.SHA256())
    gate = access(store, serviceAccountKeyFiles=[str(tmp_path / "sa.pub")])
    assert await gate.user(f"Bearer {head}.{encoded(signature)}") == READER
    with pytest.raises(ApiError, match="no key of serviceAccountKeyFiles made this signature"):
        await gate.user(f"Bearer {head}.{encoded(bytes(256))}")


def test_signatures_of_elliptic_curves(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "sa.key"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    head = unsigned("ES256")
    pair = decode_dss_signature(key.sign(head.encode(), ec.ECDSA(hashes.SHA256())))
    raw = b"".join(number.to_bytes(32, "big") for number in pair)
    serving.verify(f"{head}.{encoded(raw)}", [file])
    for token, why in (
        (f"{unsigned('ES256', exp=1)}.{encoded(raw)}", "no key of"),
        (f"{unsigned('none')}.", "'none' are not accepted"),
        (f"{unsigned('HS256')}.{encoded(raw)}", "'HS256' are not accepted"),
        ("x.y.z", "no JWT"),
    ):
        with pytest.raises(Fatal, match=why):
            serving.verify(token, [file])
    with pytest.raises(Fatal, match="No such file"):
        serving.verify(f"{head}.{encoded(raw)}", [tmp_path / "none"])


def test_a_request_for_a_serving_certificate(tmp_path: Path) -> None:
    file = tmp_path / "key"
    csr = load_pem_x509_csr(serving.request("system:node:edge1", "system:nodes", ["127.0.0.1", "::1"], file))
    assert csr.subject.rfc4514_string() == "CN=system:node:edge1,O=system:nodes"
    names = csr.extensions.get_extension_for_class(SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(IPAddress)] == ["127.0.0.1", "::1"]
    assert csr.is_signature_valid
    assert file.stat().st_mode & 0o077 == 0


SERVICES = "/api/v1/namespaces/default/services"
READS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["services"]}


async def test_rules_that_the_cloud_told(store: Store) -> None:
    gate = access(store)
    with pytest.raises(ApiError) as caught:
        gate.check(READER, request("GET", SERVICES))
    assert caught.value.code == 403
    await grant(
        store,
        accessRoleBinding=[{"roleBinding": {"metadata": {"namespace": "default"}}, "rules": [READS]}],
        accessClusterRoleBinding=[{"rules": [{**READS, "resources": ["nodes"]}]}],
    )
    gate.check(READER, request("GET", SERVICES))
    gate.check(READER, request("GET", f"{SERVICES}/web"))
    gate.check(READER, request("GET", "/api/v1/nodes"))
    for method, path in (
        ("DELETE", f"{SERVICES}/web"),
        ("GET", "/api/v1/services"),
        ("GET", "/api/v1/namespaces/other/services"),
        ("GET", f"{SERVICES}/web/status"),
        ("GET", "/metrics"),
        ("POST", "/api/v1/namespaces/default/pods/restart"),
    ):
        with pytest.raises(ApiError, match="system:serviceaccount:default:reader"):
            gate.check(READER, request(method, path))
    with pytest.raises(ApiError):
        gate.check(READER._replace(uid="made again"), request("GET", SERVICES))


async def test_everybody_sees_discovery_and_nothing_else(store: Store) -> None:
    gate = access(store)
    for path in ("/api", "/apis/apps/v1", "/version", "/healthz", "/openapi/v3"):
        assert (await gate.handle(request("GET", path))).status == 200
    refused = await gate.handle(request("GET", SERVICES))
    assert (refused.status, b"system:anonymous" in refused.body) == (403, True)
    assert (await gate.handle(request("GET", "/api", "nonsense"))).status == 401
    assert (await gate.handle(request("POST", "/api"))).status == 403


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, True),
        ({"verbs": ["update"], "apiGroups": ["apps"], "resources": ["deployments/status"]}, True),
        ({"verbs": ["update"], "apiGroups": ["apps"], "resources": ["*/status"]}, True),
        ({"verbs": ["update"], "apiGroups": ["apps"], "resources": ["deployments"]}, False),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*"]}, False),
        ({"verbs": ["*"], "apiGroups": [""], "resources": ["*"]}, False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["web"]}, True),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["db"]}, False),
        ({}, False),
    ],
)
def test_what_a_rule_allows(rule: dict[str, Any], allowed: bool) -> None:
    target = Target("update", Key("apps", "v1", "deployments", "default", "web"), "status")
    assert allows(rule, target) is allowed


def test_addresses() -> None:
    assert split("127.0.0.1:10550", "server") == ("127.0.0.1", 10550)
    assert split("[::1]:10550", "server") == ("::1", 10550)
    for wrong in ("localhost:10550", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ""):
        with pytest.raises(Fatal, match=r"modules\.metaManager\.metaServer\.server"):
            split(wrong, "server")
