"""A node joins as `kubeadm join` does it: with a token and nothing else, until it has its own certificate."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.edgesite.apiserver.running import Client

from edgelab.identity.ca import encode_key

ID, PROOF = "abcdef", "0123456789abcdef"
TOKEN = f"{ID}.{PROOF}"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
ROLES = ("system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient")
INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"


async def prepare(client: Client) -> None:
    """What `kubeadm init` leaves behind for those who join."""
    data = {
        "token-id": ID,
        "token-secret": PROOF,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
    }
    secret = {
        "metadata": {"name": f"bootstrap-token-{ID}"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
    server = {
        "server": client.base,
        "certificate-authority-data": base64.b64encode(client.site.keys.ca_pem).decode(),
    }
    config = yaml.safe_dump({"kind": "Config", "clusters": [{"name": "", "cluster": server}]})
    info = {"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": config}}
    public = f"{RBAC}/namespaces/kube-public"
    rule = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["cluster-info"],
        "verbs": ["get"],
    }
    reference = {"kind": "Role", "name": "info"}
    anybody = {"kind": "User", "name": "system:anonymous"}
    steps: list[tuple[str, Any]] = [
        ("/api/v1/namespaces/kube-system/secrets", secret),
        ("/api/v1/namespaces/kube-public/configmaps", info),
        (f"{public}/roles", {"metadata": {"name": "info"}, "rules": [rule]}),
        (f"{public}/rolebindings", {"metadata": {"name": "i"}, "roleRef": reference, "subjects": [anybody]}),
    ]
    joining = {"kind": "Group", "name": "system:bootstrappers:kubeadm:default-node-token"}
    for number, role in enumerate(ROLES):
        bound = {"kind": "ClusterRole", "name": role}
        body = {"metadata": {"name": f"join-{number}"}, "roleRef": bound, "subjects": [joining]}
        steps.append((f"{RBAC}/clusterrolebindings", body))
    for path, body in steps:
        assert (await client.call("POST", path, body))[0] == 201, path


async def soon(client: Client, path: str, field: str, **options: Any) -> Any:
    """The object once it has a field."""
    for _ in range(100):
        status, found = await client.call("GET", path, **options)
        value: Any = found
        for part in field.split("/"):
            value = value.get(part) if isinstance(value, dict) else None
        if status == 200 and value:
            return value
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} never had {field}: {found}")


def certificate_request(name: str) -> tuple[bytes, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{name}"),
        ]
    )
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return encode_key(key), base64.b64encode(csr.public_bytes(serialization.Encoding.PEM)).decode()


async def test_a_token_leads_to_a_certificate_and_that_to_a_node(client: Client, tmp_path: Path) -> None:
    await prepare(client)
    signature = await soon(client, INFO, f"data/jws-kubeconfig-{ID}", token="")
    kubeconfig = await soon(client, INFO, "data/kubeconfig", token="")
    head, content, proof = signature.split(".")
    payload = base64.urlsafe_b64encode(kubeconfig.encode()).decode().rstrip("=")
    expected = hmac.new(PROOF.encode(), f"{head}.{payload}".encode(), hashlib.sha256).digest()
    assert content == ""
    assert base64.urlsafe_b64decode(proof + "=") == expected
    cluster = yaml.safe_load(kubeconfig)["clusters"][0]["cluster"]
    ca = base64.b64decode(cluster["certificate-authority-data"]).decode()

    key, csr = certificate_request("edge1")
    spec = {"request": csr, "signerName": "kubernetes.io/kube-apiserver-client-kubelet"}
    usages = ["digital signature", "client auth"]
    body = {"metadata": {"generateName": "node-csr-"}, "spec": {**spec, "usages": usages}}
    status, request = await client.call("POST", REQUESTS, body, token=TOKEN)
    assert (status, request["spec"]["username"]) == (201, f"system:bootstrap:{ID}")
    issued = await soon(
        client, f"{REQUESTS}/{request['metadata']['name']}", "status/certificate", token=TOKEN
    )

    (tmp_path / "c.crt").write_bytes(base64.b64decode(issued))
    (tmp_path / "c.key").write_bytes(key)
    context = ssl.create_default_context(cadata=ca)
    context.load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as node:
        for name, code in (("edge1", 201), ("edge2", 403)):
            async with node.post(
                f"{cluster['server']}/api/v1/nodes", json={"metadata": {"name": name}}
            ) as answer:
                assert answer.status == code
        async with node.get(f"{cluster['server']}/api/v1/secrets") as answer:
            assert answer.status == 403
        _, csr = certificate_request("edge1")
        body = {"metadata": {"name": "again"}, "spec": {**spec, "request": csr, "usages": usages}}
        async with node.post(cluster["server"] + REQUESTS, json=body) as answer:
            assert answer.status == 201

    await client.call("DELETE", f"/api/v1/namespaces/kube-system/secrets/bootstrap-token-{ID}")
    assert (await client.call("GET", "/api", token=TOKEN))[0] == 401
