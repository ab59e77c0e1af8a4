"""Who gets in and what they may do: tokens, roles, impersonation, reviews."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.edgesite.apiserver.running import Client, running

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def account(client: Client, name: str) -> str:
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    assert (await client.call("POST", ACCOUNTS, body))[0] == 201
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    status, answer = await client.call("POST", f"{ACCOUNTS}/{name}/token", request)
    assert status == 201
    return str(answer["status"]["token"])


async def grant(client: Client, user: str, *rules: dict[str, Any]) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r"},
        "rules": rules,
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": user, "namespace": "default"}],
    }
    namespace = f"{RBAC}/namespaces/default"
    assert (await client.call("POST", f"{namespace}/roles", role))[0] == 201
    assert (await client.call("POST", f"{namespace}/rolebindings", binding))[0] == 201


async def test_strangers_see_the_version_and_nothing_else(client: Client) -> None:
    assert (await client.call("GET", "/version", token=""))[0] == 200
    assert await client.call("GET", "/healthz", token="") == (200, "ok")
    status, answer = await client.call("GET", "/api/v1/namespaces/default/pods", token="")
    assert status == 403
    assert answer["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group ""'
        ' in the namespace "default"'
    )
    _, answer = await client.call("GET", "/metrics", token="")
    assert answer["message"] == 'forbidden: User "system:anonymous" cannot get path "/metrics"'


async def test_a_token_opens_what_its_roles_say(client: Client) -> None:
    token = await account(client, "bob")
    path = "/api/v1/namespaces/default/configmaps"
    assert (await client.call("GET", path, token=token))[0] == 403
    await grant(client, "bob", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]})
    assert (await client.call("GET", path, token=token))[0] == 200
    assert (await client.call("GET", "/api/v1/configmaps", token=token))[0] == 403
    assert (await client.call("DELETE", f"{path}/kube-root-ca.crt", token=token))[0] == 403
    assert (await client.call("GET", "/api/v1/namespaces/kube-system/configmaps", token=token))[0] == 403


async def test_a_wrong_or_orphaned_token_is_unauthorized(client: Client) -> None:
    token = await account(client, "bob")
    head, body, signature = token.split(".")
    forged = f"{head}.{body}.{signature[:-4]}AAAA"
    for wrong in ("nonsense", "a.b.c", forged):
        status, answer = await client.call("GET", "/api", token=wrong)
        assert (status, answer["message"]) == (401, "Unauthorized")
    assert (await client.call("GET", "/api", token=token))[0] == 200
    await client.call("DELETE", f"{ACCOUNTS}/bob")
    assert (await client.call("GET", "/api", token=token))[0] == 401


async def test_resource_names_narrow_a_rule(client: Client) -> None:
    token = await account(client, "bob")
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get"]}
    await grant(client, "bob", rule)
    path = "/api/v1/namespaces/default/configmaps"
    assert (await client.call("GET", f"{path}/mine", token=token))[0] == 404
    assert (await client.call("GET", f"{path}/yours", token=token))[0] == 403


async def test_reviews_answer_for_others_and_for_oneself(client: Client) -> None:
    await account(client, "bob")
    await grant(client, "bob", {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]})
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "system:serviceaccount:default:bob",
            "resourceAttributes": {
                "namespace": "default",
                "verb": "get",
                "group": "apps",
                "resource": "deployments",
            },
        },
    }
    _, answer = await client.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert answer["status"]["allowed"] is True
    assert 'RoleBinding "b/default"' in answer["status"]["reason"]
    headers = {"Impersonate-User": "system:serviceaccount:default:bob"}
    mine = {**review, "kind": "SelfSubjectAccessReview"}
    mine["spec"] = {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    _, answer = await client.call("POST", path, mine, headers=headers)
    assert answer["status"] == {"allowed": False}


async def test_token_reviews_tell_who_it_is(client: Client) -> None:
    token = await account(client, "bob")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    _, answer = await client.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert answer["status"]["authenticated"] is True
    assert answer["status"]["user"]["username"] == "system:serviceaccount:default:bob"
    review["spec"] = {"token": "nonsense"}
    _, answer = await client.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert "authenticated" not in answer["status"]


async def test_bootstrap_tokens_are_users(client: Client) -> None:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
    await client.call("POST", "/api/v1/namespaces/kube-system/secrets", secret)
    _, answer = await client.call("GET", "/api/v1/nodes", token="abcdef.0123456789abcdef")
    assert 'User "system:bootstrap:abcdef" cannot list' in answer["message"]
    assert (await client.call("GET", "/api/v1/nodes", token="abcdef.wrong"))[0] == 401


async def test_nodes_have_the_role_of_nodes(client: Client) -> None:
    headers = {"Impersonate-User": "system:node:edge1", "Impersonate-Group": "system:nodes"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge1"}}
    assert (await client.call("POST", "/api/v1/nodes", node, headers=headers))[0] == 201
    assert (await client.call("DELETE", "/api/v1/nodes/edge1", headers=headers))[0] == 403


async def test_aggregated_roles_contain_the_others_rules(client: Client) -> None:
    await account(client, "bob")
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "name": "eve"}],
    }
    await client.call("POST", f"{RBAC}/clusterrolebindings", binding)
    headers = {"Impersonate-User": "eve"}
    for path, wanted in (("pods", 200), ("secrets", 200), ("nodes", 403)):
        namespace = "" if path == "nodes" else "namespaces/default/"
        assert (await client.call("GET", f"/api/v1/{namespace}{path}", headers=headers))[0] == wanted


def bound(kind: str, name: str, role: str, user: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": user, "namespace": "default"}],
    }


async def test_nobody_grants_what_they_do_not_have(client: Client) -> None:
    token = await account(client, "bob")
    rbac = ["roles", "rolebindings"]
    own = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": rbac, "verbs": ["*"]}
    bind = {**own, "resources": ["clusterroles"], "resourceNames": ["view"], "verbs": ["bind"]}
    # `*` on roles carries escalate and bind with it, so bob gets the plain verbs.
    own["verbs"] = ["create", "get", "update", "patch"]
    maps = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    await grant(client, "bob", own, bind, maps)
    space = f"{RBAC}/namespaces/default"

    status, answer = await client.call(
        "POST", f"{space}/rolebindings", bound("RoleBinding", "x", "cluster-admin", "bob"), token=token
    )
    assert status == 403
    assert "attempting to grant RBAC permissions not currently held" in answer["message"]
    lacking = bound("RoleBinding", "x", "no-such-role", "bob")
    assert (await client.call("POST", f"{space}/rolebindings", lacking, token=token))[0] == 404
    allowed = bound("RoleBinding", "y", "view", "bob")
    assert (await client.call("POST", f"{space}/rolebindings", allowed, token=token))[0] == 201

    role: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "mine"},
        "rules": [maps],
    }
    assert (await client.call("POST", f"{space}/roles", role, token=token))[0] == 201
    more = {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}
    merge = {"token": token, "type": "application/merge-patch+json"}
    assert (await client.call("PATCH", f"{space}/roles/mine", json.dumps(more), **merge))[0] == 403
    label = {"metadata": {"labels": {"a": "b"}}}
    assert (await client.call("PATCH", f"{space}/roles/r", json.dumps(label), **merge))[0] == 200


async def test_an_apply_that_creates_needs_the_right_to_create(client: Client) -> None:
    token = await account(client, "bob")
    await grant(client, "bob", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "update"]})
    path = "/api/v1/namespaces/default/configmaps/new?fieldManager=test"
    body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}})
    options = {"token": token, "type": "application/apply-patch+yaml"}
    status, answer = await client.call("PATCH", path, body, **options)
    assert status == 403
    assert "cannot create resource" in answer["message"]
    assert (await client.call("PATCH", path, body, type=options["type"]))[0] == 201
    assert (await client.call("PATCH", path, body, **options))[0] == 200


async def test_impersonating_only_a_group_is_refused_not_ignored(client: Client) -> None:
    status, answer = await client.call("GET", "/api/v1/secrets", headers={"Impersonate-Group": "nobodies"})
    assert status == 500
    assert "without impersonating a user" in answer


async def bound_token(client: Client, kind: str, name: str, uid: str = "") -> tuple[int, Any]:
    reference = {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}
    request = {"spec": {"boundObjectRef": reference}}
    return await client.call("POST", f"{ACCOUNTS}/bob/token", request)


async def test_a_token_is_bound_only_to_what_exists(client: Client) -> None:
    await account(client, "bob")
    status, answer = await bound_token(client, "ServiceAccount", "bob")
    assert status == 400
    assert answer["message"] == "cannot bind token to object of type /v1, Kind=ServiceAccount"
    for kind in ("Pod", "Secret", "Node"):
        assert (await bound_token(client, kind, "none"))[0] == 404
    secret = {"metadata": {"name": "s"}}
    await client.call("POST", "/api/v1/namespaces/default/secrets", secret)
    status, answer = await bound_token(client, "Secret", "s", "another")
    assert (status, answer["reason"]) == (409, "Conflict")


async def test_a_token_ends_with_the_object_that_it_is_bound_to(client: Client) -> None:
    await account(client, "bob")
    container = {"name": "c", "image": "i"}
    pod = {"metadata": {"name": "x"}, "spec": {"serviceAccountName": "bob", "containers": [container]}}
    space = "/api/v1/namespaces/default"
    for path, kind, body in (
        (f"{space}/pods", "Pod", pod),
        (f"{space}/secrets", "Secret", {"metadata": {"name": "x"}}),
        ("/api/v1/nodes", "Node", {"metadata": {"name": "x"}}),
    ):
        assert (await client.call("POST", path, body))[0] == 201
        status, answer = await bound_token(client, kind, "x")
        assert status == 201
        token = answer["status"]["token"]
        assert (await client.call("GET", "/api", token=token))[0] == 200
        await client.call("DELETE", f"{path}/x?gracePeriodSeconds=0")
        assert (await client.call("GET", "/api", token=token))[0] == 401


async def test_others_can_verify_tokens_by_the_published_key(client: Client) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    token = await account(client, "bob")
    _, document = await client.call("GET", "/.well-known/openid-configuration", token=token)
    assert document["jwks_uri"].endswith("/openid/v1/jwks")
    async with client.admin.get(client.base + "/openid/v1/jwks") as response:
        assert response.content_type == "application/jwk-set+json"
        assert response.headers["Cache-Control"] == "public, max-age=3600"
        (key,) = json.loads(await response.text())["keys"]

    def number(text: str) -> int:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")

    head, body, signature = token.split(".")
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "===")) for part in (head, body))
    assert header["kid"] == key["kid"]
    assert claims["iss"] == document["issuer"]
    public = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP256R1()).public_key()
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(der, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))


async def test_roles_come_back_and_additions_stay_when_the_site_starts_again(tmp_path: Path) -> None:
    view, binding = f"{RBAC}/clusterroles/system:basic-user", f"{RBAC}/clusterrolebindings/system:basic-user"
    mine = {"apiGroups": ["x.io"], "resources": ["y"], "verbs": ["get"]}
    merge = {"type": "application/merge-patch+json"}
    async with running(tmp_path) as first:
        _, before = await first.call("GET", view)
        await first.call("PATCH", view, {"rules": [mine]}, **merge)
        await first.call("PATCH", binding, {"subjects": []}, **merge)
        discovery = f"{RBAC}/clusterroles/system:discovery"
        off = {
            "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}},
            "rules": [],
        }
        await first.call("PATCH", discovery, off, **merge)
        await first.call("DELETE", f"{RBAC}/clusterroles/edit")
    async with running(tmp_path) as second:
        _, after = await second.call("GET", view)
        assert after["rules"][0] == mine
        assert {verb for rule in after["rules"] for verb in rule["resources"]} >= {"selfsubjectreviews"}
        assert len(after["rules"]) > len(before["rules"])
        assert (await second.call("GET", binding))[1]["subjects"][0]["name"] == "system:authenticated"
        assert (await second.call("GET", discovery))[1]["rules"] is None
        assert (await second.call("GET", f"{RBAC}/clusterroles/edit"))[1]["rules"]
