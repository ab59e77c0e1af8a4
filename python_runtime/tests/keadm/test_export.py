"""`keadm export` against an API server on a socket: what it leaves out, and that `keadm apply` takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.keadm.api_server import ApiServer
from tests.keadm.conftest import Keadm

SECRETS = "/api/v1/namespaces/kubeedge/secrets"


def secret(name: str, **more: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": "kubeedge",
        "uid": "u",
        "resourceVersion": "7",
        "managedFields": [{}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"},
    }
    return {"metadata": metadata, "data": {"key": "dmFsdWU="}, **more}


def test_objects_come_without_what_the_server_added(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    owned = secret("owned")
    owned["metadata"]["ownerReferences"] = [{"kind": "X"}]
    token = secret("token", type="kubernetes.io/service-account-token")
    for obj in (secret("tokensecret", type="Opaque"), secret("casecret"), owned, token):
        server.objects[f"{SECRETS}/{obj['metadata']['name']}"] = obj
    where = ("--namespace", "kubeedge", "--kube-config", kube_config)
    status, answer = keadm("export", *where, "--kind", "Secret")
    assert status == 0
    assert [obj["metadata"]["name"] for obj in answer["objects"]] == ["casecret", "tokensecret"]
    assert answer["objects"][1] == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tokensecret", "namespace": "kubeedge", "annotations": {"mine": "1"}},
        "data": {"key": "dmFsdWU="},
        "type": "Opaque",
    }
    server.objects.clear()
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": answer["objects"]})
    status, applied = keadm("apply", "--filename", "-", "--kube-config", kube_config, stdin=document)
    assert (status, applied["changed"]) == (0, True)
    assert server.objects[f"{SECRETS}/casecret"]["data"] == {"key": "dmFsdWU="}


def test_a_kind_that_nobody_serves_is_named(keadm: Keadm, server: ApiServer, kube_config: Path) -> None:
    status, answer = keadm(
        "export", "--namespace", "kubeedge", "--kube-config", kube_config, "--kind", "Secrte"
    )
    assert status == 1
    assert "Secrte" in answer["error"]
