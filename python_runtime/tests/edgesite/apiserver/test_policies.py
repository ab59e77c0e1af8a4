"""Policies in CEL beyond what the recorded answers show: audit, authors, webhooks' conditions, bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.edgesite.apiserver.running import Client, running
from tests.edgesite.audit.test_audit import lines

from edgelab.edgesite.apiserver.policies import dispatching
from edgelab.edgesite.settings import AuditSettings

from .test_webhooks import configure, serving

Obj = dict[str, Any]

GROUP = "/apis/admissionregistration.k8s.io/v1"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}


async def make(client: Client, name: str, *, actions: list[str] | None = None, **spec: Any) -> None:
    constraints = {"resourceRules": [RULE], "objectSelector": {"matchLabels": {"policy": name}}}
    body: Obj = {"metadata": {"name": name}, "spec": {"matchConstraints": constraints, **spec}}
    code, answer = await client.call("POST", f"{GROUP}/validatingadmissionpolicies", body)
    assert code == 201, answer
    spec = {"policyName": name, "validationActions": actions or ["Deny"]}
    body = {"metadata": {"name": name}, "spec": spec}
    code, answer = await client.call("POST", f"{GROUP}/validatingadmissionpolicybindings", body)
    assert code == 201, answer


def config_map(name: str, policy: str, **data: str) -> Obj:
    return {"metadata": {"name": name, "labels": {"policy": policy}}, "data": data}


async def test_failures_and_annotations_go_into_the_audit_log(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    async with running(tmp_path, audit=AuditSettings(file)) as client:
        annotations = [
            {"key": "who", "valueExpression": "'by ' + request.userInfo.username"},
            {"key": "empty", "valueExpression": "object.data.size() > 5 ? 'many' : ''"},
        ]
        validations = [{"expression": "true"}, {"expression": "object.data.size() > 1", "message": "too few"}]
        await make(client, "noted", actions=["Audit"], validations=validations, auditAnnotations=annotations)
        code, _ = await client.call("POST", CONFIG_MAPS, config_map("c", "noted", a="b"))
        assert code == 201
        found = await lines(client, file)
    (event,) = [line for line in found if line["requestURI"] == CONFIG_MAPS]
    noted = {key: value for key, value in event["annotations"].items() if "authorization" not in key}
    assert noted == {
        "noted/who": "by system:admin",
        "validation.policy.admission.k8s.io/validation_failure": '[{"message":"too few","policy":"noted",'
        '"binding":"noted","expressionIndex":1,"validationActions":["Audit"]}]',
    }


async def test_a_policy_is_in_force_as_soon_as_it_is_bound_and_as_it_is_now(client: Client) -> None:
    await make(client, "changing", validations=[{"expression": "object.data.size() < 2"}])
    wrong = config_map("c", "changing", a="1", b="2")
    code, _ = await client.call("POST", CONFIG_MAPS, wrong)
    assert code == 422
    path = f"{GROUP}/validatingadmissionpolicies/changing"
    patch = {"spec": {"validations": [{"expression": "object.data.size() < 3"}]}}
    code, _ = await client.call("PATCH", path, patch, type="application/merge-patch+json")
    assert code == 200
    code, _ = await client.call("POST", CONFIG_MAPS, wrong)
    assert code == 201
    code, _ = await client.call("PUT", f"{CONFIG_MAPS}/c", config_map("c", "changing", a="", b="", c=""))
    assert code == 422
    await client.call("DELETE", f"{GROUP}/validatingadmissionpolicybindings/changing")
    code, _ = await client.call("PUT", f"{CONFIG_MAPS}/c", config_map("c", "changing", a="", b="", c=""))
    assert code == 200


async def test_compiled_policies_are_kept_but_not_without_bound(client: Client, monkeypatch: Any) -> None:
    compiled = []
    compile_policy = dispatching.compile_policy

    def counted(obj: Obj) -> Any:
        compiled.append(obj["metadata"]["name"])
        return compile_policy(obj)

    monkeypatch.setattr(dispatching, "compile_policy", counted)
    monkeypatch.setattr(dispatching, "KEPT", 2)
    for name in ("a", "b"):
        await make(client, name, validations=[{"expression": "true"}])
    compiled.clear()
    for _ in range(5):
        assert (await client.call("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("c", "a")))[0] == 201
    assert len(compiled) <= 4  # each once, and once more for the status that was set meanwhile
    await make(client, "c", validations=[{"expression": "true"}])
    assert (await client.call("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("c", "a")))[0] == 201
    policies = client.site.registry.admission._policies  # type: ignore[attr-defined]
    assert len(policies._compiled) == 2


async def test_who_may_not_read_the_parameters_may_not_name_them(client: Client) -> None:
    role = {
        "metadata": {"name": "policies"},
        "rules": [{"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}],
    }
    binding = {
        "metadata": {"name": "policies"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "policies"},
        "subjects": [{"kind": "User", "name": "anna", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    for plural, body in (("clusterroles", role), ("clusterrolebindings", binding)):
        code, answer = await client.call("POST", f"/apis/rbac.authorization.k8s.io/v1/{plural}", body)
        assert code == 201, answer
    anna = {"Impersonate-User": "anna"}
    spec = {
        "matchConstraints": {"resourceRules": [RULE]},
        "validations": [{"expression": "true"}],
        "paramKind": {"apiVersion": "v1", "kind": "Secret"},
    }
    body = {"metadata": {"name": "p"}, "spec": spec}
    code, answer = await client.call("POST", f"{GROUP}/validatingadmissionpolicies", body, headers=anna)
    assert code == 422
    assert answer["details"]["causes"][0] == {
        "reason": "FieldValueForbidden",
        "message": 'Forbidden: user &{anna  [system:authenticated] map[]} must have "get" permission on all'
        " objects of the referenced paramKind (kind=Secret, apiVersion=v1)",
        "field": "spec.paramKind",
    }
    assert (await client.call("POST", f"{GROUP}/validatingadmissionpolicies", body))[0] == 201
    reference = {"name": "s", "namespace": "default", "parameterNotFoundAction": "Allow"}
    bound = {"policyName": "p", "validationActions": ["Deny"], "paramRef": reference}
    body = {"metadata": {"name": "b"}, "spec": bound}
    code, answer = await client.call("POST", f"{GROUP}/validatingadmissionpolicybindings", body, headers=anna)
    assert code == 422
    assert answer["details"]["causes"][0]["message"] == (
        'Forbidden: user &{anna  [system:authenticated] map[]} does not have "get" permission on the object'
        " referenced by paramRef"
    )


async def test_a_webhook_is_called_when_its_conditions_hold(client: Client) -> None:
    conditions = [
        {"name": "big", "expression": "object.data.size() > 1"},
        {"name": "mine", "expression": "request.userInfo.username == 'system:admin'"},
    ]
    async with serving(client, lambda asked: {"allowed": True}) as (url, seen):
        await configure(client, "validating", url, matchConditions=conditions)
        for name, data in (("small", {"a": ""}), ("big", {"a": "", "b": ""})):
            code, _ = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": name}, "data": data})
            assert code == 201
        assert [asked["name"] for asked in seen] == ["big"]
        code, answer = await client.call("POST", CONFIG_MAPS, {"metadata": {"name": "none"}})
        assert code == 403
        assert answer["message"] == (
            "configmaps \"none\" is forbidden: expression 'object.data.size() > 1' resulted in error:"
            " no such key: data"
        )
