"""kubectl as its users run it, against a server process."""

from __future__ import annotations

import asyncio
import json
from functools import partial

from tests.component.edgesite.serving import Server, kubectl

LIST = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}, data: {k: v}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: default}, data: {k: v}}
"""


async def test_a_list_is_validated_and_applied(server: Server) -> None:
    """For `kind: List` kubectl reads /openapi/v2, and that only as protobuf."""
    applied = await kubectl(server, "apply", "-f", "-", text=LIST)
    assert applied.splitlines() == ["configmap/a created", "configmap/b created"]
    again = await kubectl(server, "apply", "-f", "-", text=LIST)
    assert again.splitlines() == ["configmap/a unchanged", "configmap/b unchanged"]
    wrong = LIST.replace("data: {k: v}", "data: [k]", 1)
    refused = await kubectl(server, "apply", "-f", "-", text=wrong, fails=True)
    assert 'invalid type for io.k8s.api.core.v1.ConfigMap.data: got "array", expected "map"' in refused


async def test_explain_shows_types_and_texts(server: Server) -> None:
    shown = await kubectl(server, "explain", "pod.spec.containers.ports.containerPort")
    assert "FIELD: containerPort <integer>" in shown
    assert "Number of port to expose on the pod's IP address." in shown
    tree = await kubectl(server, "explain", "deployment.spec.strategy", "--recursive")
    assert "maxSurge\t<IntOrString>" in tree


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "nginx:1"}]
"""


async def test_apply_diff_and_the_small_verbs(server: Server) -> None:
    run = partial(kubectl, server)
    assert await run("apply", "-f", "-", text=DEPLOYMENT) == "deployment.apps/web created\n"
    changed = DEPLOYMENT.replace("nginx:1", "nginx:2")
    shown = await run("diff", "-f", "-", text=changed, fails=True)
    assert "-      - image: nginx:1" in shown
    assert "+      - image: nginx:2" in shown
    assert await run("diff", "-f", "-", text=DEPLOYMENT) == ""
    assert await run("apply", "-f", "-", text=changed) == "deployment.apps/web configured\n"
    assert await run("apply", "-f", "-", text=changed) == "deployment.apps/web unchanged\n"
    assert await run("scale", "deployment/web", "--replicas=0") == "deployment.apps/web scaled\n"
    await run("label", "deployment/web", "tier=front")
    refused = await run("label", "deployment/web", "tier=back", fails=True)
    assert "'tier' already has a value (front), and --overwrite is false" in refused
    await run("annotate", "deployment/web", "note=x")
    await run("patch", "deployment/web", "-p", '{"spec":{"minReadySeconds":3}}')
    remove = '[{"op":"remove","path":"/metadata/annotations/note"}]'
    await run("patch", "deployment/web", "--type=json", "-p", remove)
    found = json.loads(await run("get", "deployment", "web", "-o", "json"))
    assert found["metadata"]["labels"] == {"app": "web", "tier": "front"}
    assert (found["spec"]["replicas"], found["spec"]["minReadySeconds"]) == (0, 3)
    assert "note" not in found["metadata"]["annotations"]
    found["spec"]["minReadySeconds"] = 4
    assert await run("replace", "-f", "-", text=json.dumps(found)) == "deployment.apps/web replaced\n"
    stale = {**found, "metadata": {**found["metadata"], "resourceVersion": "1"}}
    refused = await run("replace", "-f", "-", text=json.dumps(stale), fails=True)
    assert "the object has been modified; please apply your changes to the latest version" in refused
    assert "deleted" in await run("delete", "deployment", "web", "--cascade=foreground", "--timeout=20s")


async def test_apply_on_the_server_keeps_account_of_managers(server: Server) -> None:
    run = partial(kubectl, server)
    mine = ("apply", "--server-side", "-f", "-")
    theirs = ("apply", "--server-side", "--field-manager=ci", "-f", "-")
    assert await run(*mine, text=DEPLOYMENT) == "deployment.apps/web serverside-applied\n"
    refused = await run(*theirs, text=DEPLOYMENT.replace("replicas: 2", "replicas: 1"), fails=True)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in refused
    await run(*theirs, "--force-conflicts", text=DEPLOYMENT.replace("replicas: 2", "replicas: 1"))
    found = json.loads(await run("get", "deployment", "web", "-o", "json", "--show-managed-fields"))
    entries = found["metadata"]["managedFields"]
    holders = [entry["manager"] for entry in entries if "f:replicas" in entry["fieldsV1"].get("f:spec", {})]
    assert holders == ["ci"]
    await run("create", "configmap", "old", "--from-literal=a=1")
    config = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\ndata: {a: "2"}\n'
    await run("apply", "-f", "-", text=config.replace('"2"', '"1"'))
    assert await run(*mine, text=config) == "configmap/old serverside-applied\n"


async def test_what_a_user_asks_about_himself_and_the_cluster(server: Server) -> None:
    run = partial(kubectl, server)
    assert (await run("auth", "can-i", "delete", "nodes")).strip().endswith("yes")
    denied = await run("auth", "can-i", "create", "pods", "--as=nobody", fails=True)
    assert denied.strip().endswith("no")
    assert "system:masters" in await run("auth", "whoami")
    token = (await run("create", "token", "default", "--duration=10m")).strip()
    assert token.count(".") == 2
    refused = await run("top", "nodes", fails=True)
    assert refused == "error: metrics not available yet\n", "there are no nodes"
    names = (await run("api-resources", "-o", "name")).split()
    assert {"pods", "deployments.apps", "leases.coordination.k8s.io"} <= set(names)
    assert "apps/v1" in (await run("api-versions")).split()
    wide = await run("get", "nodes,services,namespaces,serviceaccounts", "-A", "-o", "wide")
    assert "kubernetes" in wide
    assert "10.96.0.1" in wide
    assert "kind: Namespace" in await run("get", "namespace", "default", "-o", "yaml")
    assert "Forbidden" in await run("delete", "namespace", "kube-system", fails=True)


async def test_a_watch_prints_changes_until_it_is_satisfied(server: Server) -> None:
    run = partial(kubectl, server)
    await run("create", "configmap", "seen", "--from-literal=a=1")
    waiting = asyncio.create_task(
        run("wait", "configmap/seen", "--for=jsonpath={.data.a}=2", "--timeout=20s")
    )
    watching = asyncio.create_task(
        run("get", "configmap", "seen", "-w", "--output-watch-events", "--request-timeout=4s")
    )
    await asyncio.sleep(1.5)
    await run("patch", "configmap", "seen", "--type=merge", "-p", '{"data":{"a":"2"}}')
    assert await waiting == "configmap/seen condition met\n"
    await run("delete", "configmap", "seen")
    lines = [line.split()[0] for line in (await watching).splitlines()[1:] if " seen " in line]
    assert lines == ["ADDED", "MODIFIED", "DELETED"]
