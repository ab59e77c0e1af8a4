"""What is particular about pods: their end, their binding, what can change."""

from __future__ import annotations

from typing import Any

from tests.edgesite.apiserver.running import Client

PODS = "/api/v1/namespaces/default/pods"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "nginx:1.25"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"schedulerName": "nobody", "containers": [container], **spec},
    }


async def test_a_pod_that_no_node_has_goes_at_once(client: Client) -> None:
    await client.call("POST", PODS, pod("a"))
    status, gone = await client.call("DELETE", f"{PODS}/a")
    assert (status, gone["kind"]) == (200, "Pod")
    assert (await client.call("GET", f"{PODS}/a"))[0] == 404


async def test_a_pod_on_a_node_stays_until_its_node_lets_it_go(client: Client) -> None:
    await client.call("POST", PODS, pod("a", nodeName="edge1", terminationGracePeriodSeconds=7))
    _, deleting = await client.call("DELETE", f"{PODS}/a")
    assert deleting["metadata"]["deletionGracePeriodSeconds"] == 7
    _, again = await client.call("DELETE", f"{PODS}/a")
    assert again["metadata"]["resourceVersion"] == deleting["metadata"]["resourceVersion"]
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 2}
    _, shorter = await client.call("DELETE", f"{PODS}/a", options)
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 2
    status, _ = await client.call("DELETE", f"{PODS}/a", {**options, "gracePeriodSeconds": 0})
    assert status == 200
    assert (await client.call("GET", f"{PODS}/a"))[0] == 404


async def test_a_wrong_uid_does_not_delete_the_successor(client: Client) -> None:
    await client.call("POST", PODS, pod("a", nodeName="edge1"))
    options = {"preconditions": {"uid": "another"}, "gracePeriodSeconds": 0}
    status, answer = await client.call("DELETE", f"{PODS}/a", options)
    assert (status, answer["reason"]) == (409, "Conflict")


async def test_an_eviction_deletes(client: Client) -> None:
    await client.call("POST", PODS, pod("a", nodeName="edge1"))
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "a", "namespace": "default"},
    }
    assert (await client.call("POST", f"{PODS}/a/eviction", eviction))[0] == 201
    _, found = await client.call("GET", f"{PODS}/a")
    assert found["metadata"]["deletionTimestamp"]


async def test_images_can_change_and_nothing_else_of_the_spec(client: Client) -> None:
    await client.call("POST", PODS, pod("a"))
    merge = {"type": "application/strategic-merge-patch+json"}
    image = {"spec": {"containers": [{"name": "c", "image": "nginx:1.26"}]}}
    status, changed = await client.call("PATCH", f"{PODS}/a", image, **merge)
    assert (status, changed["metadata"]["generation"]) == (200, 2)
    status, refused = await client.call("PATCH", f"{PODS}/a", {"spec": {"hostNetwork": True}}, **merge)
    assert (status, refused["details"]["causes"][0]["field"]) == (422, "spec")


async def test_quality_of_service_follows_requests_and_limits(client: Client) -> None:
    amounts = {"cpu": "100m", "memory": "64Mi"}
    for name, resources, wanted in (
        ("best", {}, "BestEffort"),
        ("burst", {"requests": {"cpu": "100m"}}, "Burstable"),
        ("guaranteed", {"limits": amounts}, "Guaranteed"),
    ):
        body = pod(name)
        body["spec"]["containers"][0]["resources"] = resources
        _, created = await client.call("POST", PODS, body)
        assert created["status"]["qosClass"] == wanted


async def test_wrong_pods_are_refused_with_every_error(client: Client) -> None:
    body = pod("a", restartPolicy="Sometimes")
    body["spec"]["containers"] = [{"name": "Bad_Name", "volumeMounts": [{"name": "none", "mountPath": "/x"}]}]
    status, answer = await client.call("POST", PODS, body)
    fields = {cause["field"] for cause in answer["details"]["causes"]}
    assert status == 422
    assert fields == {
        "spec.containers[0].name",
        "spec.containers[0].image",
        "spec.containers[0].volumeMounts[0].name",
        "spec.restartPolicy",
    }
    status, answer = await client.call("POST", PODS, pod("a", terminationGracePeriodSeconds="long"))
    assert (status, answer["reason"]) == (400, "BadRequest")
    assert (
        "cannot unmarshal string into Go struct field PodSpec.spec.terminationGracePeriodSeconds"
        in answer["message"]
    )


async def test_a_pod_gets_the_token_of_its_account(client: Client) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bob"}}
    await client.call("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    _, created = await client.call("POST", PODS, pod("a", serviceAccountName="bob"))
    (volume,) = created["spec"]["volumes"]
    assert volume["projected"]["sources"][0] == {
        "serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}
    }
    (mount,) = created["spec"]["containers"][0]["volumeMounts"]
    assert (mount["name"], mount["mountPath"]) == (
        volume["name"],
        "/var/run/secrets/kubernetes.io/serviceaccount",
    )
    closed = pod("b", serviceAccountName="bob", automountServiceAccountToken=False)
    _, created = await client.call("POST", PODS, closed)
    assert "volumes" not in created["spec"]
    status, answer = await client.call("POST", PODS, pod("c", serviceAccountName="nobody"))
    assert (status, answer["reason"]) == (403, "Forbidden")
