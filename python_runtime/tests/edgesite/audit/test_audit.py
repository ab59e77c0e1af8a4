"""The audit log of a site: what is in it, what never is, how it is cut, and what happens when it is slow."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.edgesite.apiserver.running import Client, running

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.apiserver.authorization import Attributes
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.audit import log as audit_log
from edgelab.edgesite.audit.log import AuditLog
from edgelab.edgesite.audit.policy import load
from edgelab.edgesite.settings import AuditSettings

SPACE = "/api/v1/namespaces/default"
VALUE = base64.b64encode(b"correct-horse-battery-staple").decode()


def policy(path: Path, *rules: dict[str, Any], **more: Any) -> Path:
    file = path / "policy.yaml"
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}
    file.write_text(yaml.safe_dump(document))
    return file


async def lines(client: Client, path: Path) -> list[dict[str, Any]]:
    """What was written, once the writer has caught up with the answers that have come."""
    log = client.site._auditor.log
    for _ in range(50):
        await asyncio.sleep(0)
    while log._queue:
        await asyncio.sleep(0.01)
    await asyncio.get_running_loop().run_in_executor(log._thread, lambda: None)
    return [json.loads(line) for line in path.read_text().splitlines()]


async def secret(client: Client) -> None:
    body = {"metadata": {"name": "s"}, "data": {"password": VALUE}}
    assert (await client.call("POST", f"{SPACE}/secrets", body))[0] == 201


async def test_without_a_policy_every_request_is_one_line_of_metadata(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    async with running(tmp_path, audit=AuditSettings(file)) as client:
        headers = {"Impersonate-User": "anna", "User-Agent": "test"}
        await client.call("GET", f"{SPACE}/configmaps?limit=5", headers=headers)
        found = await lines(client, file)
    (event,) = [line for line in found if line.get("userAgent") == "test"]
    assert file.stat().st_mode & 0o077 == 0
    assert (event["kind"], event["apiVersion"], event["level"]) == ("Event", "audit.k8s.io/v1", "Metadata")
    assert event["stage"] == "ResponseComplete"
    assert event["requestURI"] == f"{SPACE}/configmaps?limit=5"
    assert event["verb"] == "list"
    assert event["user"]["username"] == "system:admin"
    assert event["impersonatedUser"] == {"username": "anna", "groups": ["system:authenticated"]}
    assert event["sourceIPs"] == ["127.0.0.1"]
    assert event["objectRef"] == {"resource": "configmaps", "namespace": "default", "apiVersion": "v1"}
    assert event["responseStatus"]["code"] == 403
    assert event["responseStatus"]["reason"] == "Forbidden"
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert "requestObject" not in event


async def test_bodies_are_written_as_the_policy_says_but_never_those_of_secrets(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    rules = policy(
        tmp_path,
        {"level": "None", "resources": [{"group": "", "resources": ["events", "endpoints"]}]},
        {"level": "Request", "resources": [{"group": "", "resources": ["pods"]}], "verbs": ["create"]},
        {"level": "RequestResponse", "omitManagedFields": True},
    )
    async with running(tmp_path, audit=AuditSettings(file, rules)) as client:
        await secret(client)
        await client.call("GET", f"{SPACE}/secrets")
        body = {"metadata": {"name": "c"}, "data": {"a": "b"}}
        await client.call("POST", f"{SPACE}/configmaps", body)
        await client.call("POST", f"{SPACE}/pods", {"metadata": {"name": "p"}, "spec": {}})
        await client.call("GET", f"{SPACE}/endpoints")
        account = f"{SPACE}/serviceaccounts/default/token"
        _, answer = await client.call("POST", account, {"kind": "TokenRequest", "spec": {}})
        await client.call("GET", "/api", token=answer["status"]["token"])
        found = await lines(client, file)
    text = file.read_text()
    assert VALUE not in text
    assert answer["status"]["token"] not in text
    by = {
        (line["verb"], (line.get("objectRef") or {}).get("resource"), line["stage"]): line for line in found
    }
    done = by["create", "configmaps", "ResponseComplete"]
    assert done["requestObject"]["data"] == done["responseObject"]["data"] == {"a": "b"}
    assert "managedFields" not in done["responseObject"]["metadata"]
    assert by["create", "configmaps", "RequestReceived"]["auditID"] == done["auditID"]
    assert by["create", "secrets", "ResponseComplete"]["level"] == "Metadata"
    assert by["create", "serviceaccounts", "ResponseComplete"]["level"] == "Metadata"
    pod = by["create", "pods", "ResponseComplete"]
    assert "requestObject" in pod
    assert "responseObject" not in pod
    assert not [key for key in by if key[1] == "endpoints"]


async def test_the_line_of_a_new_object_names_it(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    async with running(tmp_path, audit=AuditSettings(file)) as client:
        await client.call("POST", f"{SPACE}/configmaps", {"metadata": {"name": "fresh"}})
        await client.call("POST", f"{SPACE}/configmaps", {"metadata": {"generateName": "some-"}})
        await client.call("POST", f"{SPACE}/configmaps", "{")
        found = [line for line in await lines(client, file) if line["user"]["username"] == "system:admin"]
    names = [line["objectRef"].get("name") for line in found if line["verb"] == "create"]
    assert names == ["fresh", None, None]
    assert all("requestObject" not in line for line in found)


async def test_watches_and_wrong_credentials_have_their_stages(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    async with running(tmp_path, audit=AuditSettings(file)) as client:
        await client.call("GET", f"{SPACE}/pods?watch=true&timeoutSeconds=1", headers={"User-Agent": "w"})
        await client.call("GET", f"{SPACE}/pods", token="nonsense", headers={"User-Agent": "bad"})
        async with client.admin.get(client.base + "/version") as response:
            assert response.headers["Audit-Id"]
        assert "edgesite_audit_dropped_events_total 0" in (await client.call("GET", "/metrics"))[1]
        found = await lines(client, file)
    watch = [line for line in found if line.get("userAgent") == "w"]
    assert [line["stage"] for line in watch] == ["ResponseStarted", "ResponseComplete"]
    assert {line["responseStatus"]["code"] for line in watch} == {200}
    (bad,) = [line for line in found if line.get("userAgent") == "bad"]
    assert bad["responseStatus"]["message"] == "Authentication failed, attempted: bearer"
    assert "nonsense" not in file.read_text()


async def written(log: AuditLog, count: int) -> None:
    task = asyncio.create_task(log.run())
    for number in range(count):
        log.add({"n": number, "pad": "x" * 100})
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_files_are_cut_by_size_and_the_oldest_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "a" / "audit.log"
    for _ in range(5):
        await written(AuditLog(file, SYSTEM, 2000, 2), 12)
    names = sorted(path.name for path in file.parent.iterdir())
    assert names == ["audit.log", "audit.log.1", "audit.log.2"]
    for path in file.parent.iterdir():
        assert path.stat().st_size <= 2000
        assert all(json.loads(line)["pad"] for line in path.read_text().splitlines())


async def test_a_full_queue_drops_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_log, "QUEUE", 10)
    log = AuditLog(tmp_path / "audit.log", SYSTEM, 1 << 20, 1)
    await written(log, 25)
    assert (log.written, log.dropped) == (10, 15)
    assert "15 audit events were dropped" in caplog.text


def test_rules_match_as_those_of_kube_apiserver(tmp_path: Path) -> None:
    rules = load(
        policy(
            tmp_path,
            {"level": "None", "users": ["system:kube-proxy"], "verbs": ["watch"]},
            {"level": "None", "userGroups": ["system:nodes"], "nonResourceURLs": ["/healthz*"]},
            {"level": "Request", "resources": [{"group": "", "resources": ["pods/*"]}]},
            {"level": "RequestResponse", "resources": [{"group": "apps", "resources": ["*/scale"]}]},
            {
                "level": "Request",
                "resources": [{"group": "", "resources": ["configmaps"], "resourceNames": ["a"]}],
                "namespaces": ["kube-system"],
            },
            {"level": "Metadata", "namespaces": [""]},
        )
    )
    proxy, node, anna = User("system:kube-proxy"), User("n", ("system:nodes",)), User("anna")
    pod, maps = Attributes("watch", resource="pods", namespace="x"), ("get", "", "configmaps", "")
    for user, wanted, level in (
        (proxy, pod, "None"),
        (anna, Attributes("get", path="/healthz/ping"), "None"),
        (node, Attributes("get", path="/healthz/ping"), "None"),
        (anna, Attributes("get", resource="pods", subresource="log", namespace="x"), "Request"),
        (anna, pod, "Request"),
        (anna, Attributes("get", "apps", "deployments", "scale", "x", "d"), "RequestResponse"),
        (anna, Attributes("get", "apps", "deployments", "", "x", "d"), "None"),
        (anna, Attributes(*maps, "kube-system", "a"), "Request"),
        (anna, Attributes(*maps, "kube-system", "b"), "None"),
        (anna, Attributes("list", resource="nodes"), "Metadata"),
    ):
        assert rules.decide(user, wanted).level == level, wanted


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], "0 rules"),
        ([{"level": "Everything"}], 'rules\\[0\\].level: Unsupported value: "Everything"'),
        ([{"level": "None", "user": ["x"]}], "rules\\[0\\].user: unknown field"),
        ([{"level": "None", "users": "x"}], "rules\\[0\\].users: must be a list"),
        ([{"level": "None", "omitStages": ["Late"]}], "unsupported stage"),
        ([{"level": "None", "namespaces": ["x"], "nonResourceURLs": ["/x"]}], "cannot apply to both"),
    ],
)
def test_a_wrong_policy_is_explained(tmp_path: Path, rules: list[Any], words: str) -> None:
    with pytest.raises(Fatal, match=words):
        load(policy(tmp_path, *rules))


async def test_pods_that_a_level_would_refuse_are_told_of(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    async with running(tmp_path, audit=AuditSettings(file)) as client:
        prefix = "pod-security.kubernetes.io/"
        labels = {f"{prefix}enforce": "privileged", f"{prefix}audit": "baseline"}
        await client.call("POST", "/api/v1/namespaces", {"metadata": {"name": "n", "labels": labels}})
        spec = {
            "hostNetwork": True,
            "automountServiceAccountToken": False,
            "containers": [{"name": "c", "image": "x"}],
        }
        pods, body = "/api/v1/namespaces/n/pods", {"metadata": {"name": "p"}, "spec": spec}
        for _ in range(100):
            if (await client.call("POST", pods, body))[0] == 201:
                break
            await asyncio.sleep(0.05)  # until the namespace has its account
        found = await lines(client, file)
    event = [line for line in found if line["requestURI"] == pods][-1]
    noted = {key: value for key, value in event["annotations"].items() if key.startswith(prefix)}
    assert noted == {
        f"{prefix}enforce-policy": "privileged:latest",
        f"{prefix}audit-violations": 'would violate PodSecurity "baseline:latest": host namespaces'
        " (hostNetwork=true)",
    }
