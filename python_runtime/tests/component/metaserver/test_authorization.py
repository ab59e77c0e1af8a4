"""A MetaServer that requires authorization: its certificate, tokens of pods, what their accounts may do."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.component.metaserver.lab import EdgeNode, Lab, wait_until

from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Resource
from edgelab.kube.resources import NODES, PODS, SERVICE_ACCOUNTS

RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(RBAC, "v1", "rolebindings", "RoleBinding")
AUDIENCE = "https://kubernetes.default.svc.cluster.local"
GATES = {"requireAuthorization": True}


async def populate(api: HttpClient) -> str:
    """An edge node, and a pod on it whose account may read services; the account's token."""
    node = {"metadata": {"name": "edge1", "labels": {"node-role.kubernetes.io/edge": ""}}, "spec": {}}
    await api.create(NODES, {"apiVersion": "v1", "kind": "Node", **node})
    await api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "reader"}}, "default")
    rules = [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}]
    await api.create(ROLES, {"metadata": {"name": "reads"}, "rules": rules}, "default")
    subjects = [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}]
    reference = {"apiGroup": RBAC, "kind": "Role", "name": "reads"}
    binding = {"metadata": {"name": "reads"}, "subjects": subjects, "roleRef": reference}
    await api.create(ROLE_BINDINGS, binding, "default")
    spec = {
        "serviceAccountName": "reader",
        "nodeName": "edge1",
        "containers": [{"name": "c", "image": "i"}],
    }
    await api.create(PODS, {"metadata": {"name": "web"}, "spec": spec}, "default")
    request = {"metadata": {"name": "reader"}, "spec": {"audiences": [AUDIENCE], "expirationSeconds": 3600}}
    made = await api.create(SERVICE_ACCOUNTS, request, "default", subresource="token")
    return str(made["status"]["token"])


def keep_token(edge: EdgeNode, token: str) -> None:
    """As MetaManager does with a token that it got for a pod."""
    value = json.dumps({"status": {"token": token}})
    with sqlite3.connect(edge.directory / "edgecore.db", timeout=20) as database:
        row = ("a token", "serviceaccounttoken", value)
        database.execute("INSERT INTO meta (key, type, value) VALUES (?, ?, ?)", row)
    database.close()


class Client:
    """Asks over HTTPS with the cluster's CA."""

    def __init__(self, session: aiohttp.ClientSession, edge: EdgeNode, context: ssl.SSLContext) -> None:
        self._session, self._edge, self._context = session, edge, context

    async def ask(self, path: str, token: str = "", host: str = "127.0.0.1") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"https://{host}:{self._edge.port}{path}"
        async with self._session.get(url, headers=headers, ssl=self._context) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Any:
    lab = Lab(tmp_path_factory.mktemp("secure"))
    try:
        lab.start(gates=GATES)
        yield lab
    finally:
        lab.stop()


async def test_pods_ask_with_their_tokens_and_get_what_their_accounts_may(lab: Lab, tmp_path: Path) -> None:
    async with lab.api() as api:
        token = await populate(api)
        ca = api.config.ca_pem
    assert ca is not None
    edge = EdgeNode(lab, tmp_path / "edge", **GATES)
    edge.core.start()
    try:
        wait_until(lambda: "MetaServer serves HTTPS on 127.0.0.2" in edge.core.text(), 60)
        key = tmp_path / "edge" / "metaserver" / "metaserver-current.key"
        assert key.stat().st_mode & 0o077 == 0
        assert (tmp_path / "edge" / "metaserver" / "ca.crt").read_bytes().strip() == ca.strip()
        context = ssl.create_default_context(cadata=ca.decode())
        async with aiohttp.ClientSession() as session:
            client = Client(session, edge, context)
            await asked(client, edge, token)
    finally:
        edge.core.stop()


async def asked(client: Client, edge: EdgeNode, token: str) -> None:
    services = "/api/v1/namespaces/default/services"
    assert (await client.ask("/api/v1"))[0] == 200  # discovery is for everybody
    assert (await client.ask("/version", host="127.0.0.2"))[0] == 200  # where pods find it
    status, found = await client.ask(services)
    assert (status, found["reason"]) == (403, "Forbidden")
    assert "system:anonymous" in found["message"]
    status, found = await client.ask(services, token)
    assert (status, "not made for a pod of this node" in found["message"]) == (401, True)
    keep_token(edge, token)
    async with asyncio.timeout(30):
        while (await client.ask(services, token))[0] != 200:
            await asyncio.sleep(0.1)
    assert (await client.ask(f"{services}/kubernetes", token))[0] == 200
    status, found = await client.ask("/api/v1/namespaces/kube-system/services", token)
    assert (status, "system:serviceaccount:default:reader" in found["message"]) == (403, True)
    assert (await client.ask("/api/v1/namespaces/default/secrets", token))[0] == 403
    assert (await client.ask(services, token[:-4] + "AAAA"))[0] == 401
    assert (await client.ask(services, "nonsense"))[0] == 401
