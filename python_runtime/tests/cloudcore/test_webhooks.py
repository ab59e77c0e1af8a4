"""What the webhooks answer, and how they are registered: against an API in memory."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from tests.cloudcore.cloud import Api

from edgelab.cloudcore.startup import forget_webhooks
from edgelab.cloudcore.webhooks import devices, hooks, migration, nodejobs
from edgelab.cloudcore.webhooks.registration import CONVERTED, MUTATING, VALIDATING, Registration
from edgelab.cloudcore.webhooks.reviews import Mutator, Validator, converted, mutated, validated
from edgelab.cloudcore.webhooks.rules import RuleChecks
from edgelab.kube.interface import Obj
from edgelab.kube.resources import CRDS, MUTATING_WEBHOOKS, RULE_ENDPOINTS, RULES, VALIDATING_WEBHOOKS
from edgelab.objects.patch import json_patch
from edgelab.objects.status import ApiError


async def refusal(check: Validator, new: Obj | None, old: Obj | None = None, **request: Any) -> str:
    """Why an object is refused; "" when it is let in."""
    operation = "DELETE" if new is None else "UPDATE" if old is not None else "CREATE"
    request |= {"uid": "u1", "operation": operation, "object": new, "oldObject": old}
    answer = await validated(msgspec.json.encode({"request": request}), check)
    assert answer["response"]["uid"] == "u1"
    if answer["response"]["allowed"]:
        return ""
    return str(answer["response"]["status"]["message"])


def patched(change: Mutator, obj: Obj, operation: str = "CREATE") -> Any:
    request = {"uid": "u1", "operation": operation, "object": obj}
    response = mutated(msgspec.json.encode({"request": request}), change)["response"]
    assert response["allowed"]
    if "patch" not in response:
        return obj
    assert response["patchType"] == "JSONPatch"
    return json_patch(obj, msgspec.json.decode(base64.b64decode(response["patch"])))


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ([{"name": "a"}, {"name": "b"}], ""),
        ([], ""),
        (
            [{"name": "a"}, {"name": "b"}, {"name": "a"}],
            "spec.properties[2].name: 'a' is the name of spec.properties[0]",
        ),
        ("none", "spec.properties: expected a list"),
        ([1], "spec.properties[0]: expected an object"),
    ],
)
async def test_names_of_properties_are_unique(properties: Any, why: str) -> None:
    found = await refusal(devices.model, {"spec": {"properties": properties}})
    assert why in found
    assert bool(why) == bool(found)


async def test_deleting_a_device_is_allowed_whatever_it_says() -> None:
    old = {"spec": {"properties": [{"name": "a"}, {"name": "a"}]}}
    assert await refusal(devices.device, None, old) == ""


@pytest.mark.parametrize(
    ("annotations", "why"),
    [
        ({"edgelab.io/offline-after": "90s", "edgelab.io/spool": "500"}, ""),
        (
            {"edgelab.io/offline-after": "soon"},
            "metadata.annotations[edgelab.io/offline-after]: 'soon' is no",
        ),
        ({"edgelab.io/offline-after": "0s"}, "metadata.annotations[edgelab.io/offline-after]: '0s' is not"),
        ({"edgelab.io/spool": "many"}, "metadata.annotations[edgelab.io/spool]: 'many' is no number"),
        ({"edgelab.io/spool": "100001"}, "metadata.annotations[edgelab.io/spool]: '100001' is no number"),
    ],
)
async def test_our_own_annotations_are_checked(annotations: dict[str, str], why: str) -> None:
    found = await refusal(devices.device, {"metadata": {"annotations": annotations}, "spec": {}})
    assert why in found
    assert bool(why) == bool(found)


async def test_cycles_in_nanoseconds_are_stored_with_a_warning() -> None:
    spec = {
        "properties": [{"name": "a", "reportCycle": 10_000}, {"name": "b", "collectCycle": 10_000_000_000}],
        "stateReport": {"reportCycle": 10_000_000_000},
    }
    request = {"uid": "u1", "operation": "CREATE", "object": {"metadata": {}, "spec": spec}}
    response = (await validated(msgspec.json.encode({"request": request}), devices.device))["response"]
    assert response["allowed"]
    assert [text.partition(":")[0] for text in response["warnings"]] == [
        "spec.stateReport.reportCycle",
        "spec.properties[1].collectCycle",
    ]


async def test_push_methods_that_cannot_work_are_stored_with_a_warning() -> None:
    http = {"hostName": "10.0.0.5", "port": 80}
    redis = {"redisClientConfig": {"addr": "127.0.0.1:6379"}}
    spec = {
        "properties": [
            {"name": "a", "pushMethod": {"http": http}},
            {
                "name": "b",
                "pushMethod": {"mqtt": {"address": "ssl://h", "topic": "t"}, "dbMethod": {"redis": redis}},
            },
            {"name": "c", "pushMethod": {"dbMethod": {"mysql": {"mysqlClientConfig": {"addr": "h"}}}}},
            {"name": "d", "pushMethod": {"anomalyDetection": {"a": "b"}}},
            {"name": "e", "pushMethod": {}},
        ]
    }
    request = {"uid": "u1", "operation": "CREATE", "object": {"metadata": {}, "spec": spec}}
    response = (await validated(msgspec.json.encode({"request": request}), devices.device))["response"]
    assert response["allowed"]
    assert [text.partition(": ")[0] for text in response["warnings"]] == [
        "spec.properties[0].pushMethod.http.hostName",
        "spec.properties[2].pushMethod.dbMethod.mysql.mysqlClientConfig.database",
        "spec.properties[4].pushMethod",
    ]
    assert await refusal(devices.device, {"spec": {"properties": [{"name": "a", "pushMethod": 1}]}})


class Rules:
    """A namespace with one endpoint of each type, named as its type."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.checks = RuleChecks(api)

    async def endpoint(self, kind: str) -> None:
        body = {"metadata": {"name": kind}, "spec": {"ruleEndpointType": kind}}
        await self.api.create(RULE_ENDPOINTS, body, "default")

    async def refused(self, spec: Obj, name: str = "new") -> str:
        return await refusal(
            self.checks.rule, {"metadata": {"name": name}, "spec": spec}, namespace="default", name=name
        )


@pytest.fixture
async def rules() -> Rules:
    found = Rules(Api())
    for kind in ("rest", "eventbus", "servicebus"):
        await found.endpoint(kind)
    return found


def rule(source: str = "rest", target: str = "eventbus", **changes: Any) -> Obj:
    origins = {
        "rest": {"path": "/test"},
        "eventbus": {"topic": "t", "node_name": "edge1"},
        "servicebus": {"target_url": "/a", "node_name": "edge1"},
    }
    goals = {"rest": {"resource": "http://a/b"}, "eventbus": {"topic": "t"}, "servicebus": {"path": "/b"}}
    spec = {
        "source": source,
        "sourceResource": origins[source],
        "target": target,
        "targetResource": goals[target],
    }
    return {**spec, **changes}


@pytest.mark.parametrize(
    "pair", [("rest", "eventbus"), ("rest", "servicebus"), ("eventbus", "rest"), ("servicebus", "rest")]
)
async def test_rules_lead_in_the_directions_that_the_router_knows(rules: Rules, pair: Any) -> None:
    assert await rules.refused(rule(*pair)) == ""


async def test_rules_lead_to_another_node(rules: Rules) -> None:
    for goal in ({"topic": "t"}, {"path": "/b"}):
        target = "eventbus" if "topic" in goal else "servicebus"
        spec = rule("eventbus", target, targetResource={**goal, "node_name": "edge2"})
        assert await rules.refused(spec) == ""


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (rule("rest", "rest"), "no rule leads from rest to rest"),
        (rule("servicebus", "eventbus"), "no rule leads from servicebus to eventbus"),
        (rule("eventbus", "servicebus"), "spec.targetResource.node_name: is needed"),
        (
            rule(
                "eventbus",
                "eventbus",
                sourceResource={"topic": "t", "node_name": "edge1"},
                targetResource={"topic": "default/t", "node_name": "edge1"},
            ),
            "the rule would feed itself",
        ),
        ({**rule(), "source": "nobody"}, "no RuleEndpoint 'nobody'"),
        ({**rule(), "target": ""}, "spec.target: the name of a RuleEndpoint is needed"),
        (rule(sourceResource={}), "spec.sourceResource.path: is needed"),
        (rule("eventbus", "rest", sourceResource={"topic": "t"}), "spec.sourceResource.node_name"),
        (rule(targetResource={"path": "/b"}), "spec.targetResource.topic"),
        (rule(targetResource=[]), "spec.targetResource: expected an object"),
    ],
)
async def test_a_rule_that_would_never_work_is_refused_with_the_reason(
    rules: Rules, spec: Obj, why: str
) -> None:
    assert why in await rules.refused(spec)


async def test_two_rules_do_not_take_each_others_messages(rules: Rules) -> None:
    await rules.api.create(RULES, {"metadata": {"name": "first"}, "spec": rule()}, "default")
    assert "rule 'first' takes messages from path '/test' already" in await rules.refused(
        rule("rest", "servicebus")
    )
    assert await rules.refused(rule(sourceResource={"path": "/other"})) == ""
    assert await rules.refused(rule("eventbus", "rest")) == ""


async def test_of_two_buses_on_two_nodes_each_may_have_a_rule(rules: Rules) -> None:
    spec = rule("eventbus", "rest")
    await rules.api.create(RULES, {"metadata": {"name": "first"}, "spec": spec}, "default")
    assert "topic 't' and node_name 'edge1'" in await rules.refused(spec)
    there = {"topic": "t", "node_name": "edge2"}
    assert await rules.refused(rule("eventbus", "rest", sourceResource=there)) == ""


async def test_a_changed_rule_is_looked_at_like_a_new_one_and_its_counters_are_not(rules: Rules) -> None:
    old = {"metadata": {"name": "r"}, "spec": rule(), "status": {"successMessages": 0}}
    assert await refusal(rules.checks.rule, {**old, "status": {"successMessages": 1}}, old) == ""
    changed = {**old, "spec": rule("rest", "servicebus")}
    assert await refusal(rules.checks.rule, changed, old, name="r", namespace="default") == ""
    changed = {**old, "spec": rule("rest", "rest")}
    assert "no rule leads" in await refusal(rules.checks.rule, changed, old, namespace="default")
    assert await refusal(rules.checks.rule, None, old) == ""


@pytest.mark.parametrize("port", [None, "", "0", "65536", "http", "80 ", "1" * 5000, "٣"])
async def test_a_servicebus_endpoint_needs_a_port(rules: Rules, port: str | None) -> None:
    spec: Obj = {
        "ruleEndpointType": "servicebus",
        "properties": {} if port is None else {"service_port": port},
    }
    assert "service_port: a servicebus endpoint needs a port" in await refusal(
        rules.checks.endpoint, {"spec": spec}
    )


async def test_other_endpoints_need_none(rules: Rules) -> None:
    assert await refusal(rules.checks.endpoint, {"spec": {"ruleEndpointType": "rest"}}) == ""
    spec = {"ruleEndpointType": "servicebus", "properties": {"service_port": "6666"}}
    assert await refusal(rules.checks.endpoint, {"spec": spec}) == ""


async def test_a_rule_is_not_refused_when_the_api_cannot_say(rules: Rules) -> None:
    async def broken(*_: Any) -> Obj:
        raise ApiError(500, "the store is gone")

    rules.api.get = broken  # type: ignore[method-assign]
    with pytest.raises(ApiError):
        await rules.refused(rule())


JOB = {"version": "v1.22.0", "image": "kubeedge/installation-package", "nodeNames": ["edge1"]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"version": "v1.22.0-beta.0+a"}, ""),
        ({"image": "registry.example:5000/a/b_c:v1@sha256:" + "a" * 64}, ""),
        ({"version": "1.22"}, "spec.version: expected a version such as v1.22.0, found '1.22'"),
        ({"version": "v1.22.0; rm -rf /"}, "spec.version"),
        ({"image": "a b"}, "spec.image: 'a b'"),
        ({"nodeNames": []}, "exactly one of nodeNames and labelSelector"),
        ({"labelSelector": {"matchLabels": {"a": "b"}}}, "exactly one of nodeNames and labelSelector"),
        (
            {"nodeNames": [], "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            "spec.labelSelector: 'Near'",
        ),
        ({"nodeNames": [], "labelSelector": {"matchLabels": {"a": "b"}}}, ""),
    ],
)
async def test_jobs_say_what_to_which_nodes(change: Obj, why: str) -> None:
    found = await refusal(nodejobs.upgrade, {"spec": {**JOB, **change}})
    assert why in found
    assert bool(why) == bool(found)


async def test_a_job_is_not_changed_under_way() -> None:
    assert "make another one" in await refusal(
        nodejobs.upgrade, {"spec": {**JOB, "version": "v1.23.0"}}, {"spec": JOB}
    )
    assert (
        await refusal(nodejobs.upgrade, {"spec": JOB, "status": {"phase": "InProgress"}}, {"spec": JOB}) == ""
    )


def test_jobs_get_their_defaults() -> None:
    assert patched(nodejobs.defaults, {"spec": {}})["spec"] == {"concurrency": 1, "timeoutSeconds": 300}
    assert patched(nodejobs.defaults, {"spec": {"concurrency": 3}})["spec"]["concurrency"] == 3
    assert patched(nodejobs.defaults, {"spec": {}}, "UPDATE") == {"spec": {}}


def test_pods_of_autonomous_nodes_stay() -> None:
    short = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    }
    other = {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}
    pod = {
        "metadata": {"labels": {"app-offline.kubeedge.io": "autonomy"}},
        "spec": {"tolerations": [short, other]},
    }
    found = patched(migration.stay, pod)
    assert found["spec"]["tolerations"] == [other, migration.TOLERATION]
    assert patched(migration.stay, found) == found
    assert patched(migration.stay, {"metadata": {"labels": {}}, "spec": {"tolerations": [short]}}) == {
        "metadata": {"labels": {}},
        "spec": {"tolerations": [short]},
    }


def convert(*objects: Any, wanted: str = "v1beta1") -> Obj:
    request = {"uid": "u2", "desiredAPIVersion": f"devices.kubeedge.io/{wanted}", "objects": objects}
    answer = converted(msgspec.json.encode({"request": request}))
    assert answer["response"]["uid"] == "u2"
    found: Obj = answer["response"]
    return found


def device(**spec: Any) -> Obj:
    return {
        "apiVersion": "devices.kubeedge.io/v1alpha2",
        "kind": "Device",
        "metadata": {"name": "d", "namespace": "ns"},
        "spec": spec,
    }


def test_objects_are_converted_all_or_none() -> None:
    good = convert(device(), convert(device())["convertedObjects"][0])
    assert good["result"] == {"status": "Success"}
    assert [obj["apiVersion"] for obj in good["convertedObjects"]] == ["devices.kubeedge.io/v1beta1"] * 2
    bad = convert(device(), device(nodeSelector=3))
    assert "convertedObjects" not in bad
    assert bad["result"] == {
        "status": "Failure",
        "message": "Device ns/d: spec.nodeSelector: expected an object, found a number",
    }


def test_a_version_that_nobody_knows_is_a_failure() -> None:
    assert (
        "from devices.kubeedge.io/v1alpha2 to devices.kubeedge.io/v2"
        in convert(device(), wanted="v2")["result"]["message"]
    )


CLIENT = hooks.client_config(ca_pem=b"pem", host="fd00::1", port=10005, service="", namespace="kubeedge")
SERVICE = hooks.client_config(ca_pem=b"pem", host="", port=10005, service="cloudcore", namespace="kubeedge")


async def prepared() -> Api:
    api = Api()
    for name in CONVERTED:
        await api.create(CRDS, {"metadata": {"name": name}, "spec": {"conversion": {"strategy": "None"}}})
    return api


async def test_registering_twice_writes_once() -> None:
    api = await prepared()
    await Registration(api, CLIENT, conversion=True).register()
    validating = await api.get(VALIDATING_WEBHOOKS, VALIDATING)
    first = validating["webhooks"][0]
    assert first["clientConfig"] == {"caBundle": "cGVt", "url": "https://[fd00::1]:10005/devices"}
    assert first["failurePolicy"] == "Ignore"
    crd = await api.get(CRDS, CONVERTED[0])
    assert crd["spec"]["conversion"]["webhook"]["clientConfig"]["url"].endswith("/convert")
    before = len(api.calls)
    await Registration(api, CLIENT, conversion=True).register()
    assert len(api.calls) == before


async def test_a_webhook_that_moves_is_found_at_its_new_place() -> None:
    api = await prepared()
    await Registration(api, CLIENT, conversion=True).register()
    await Registration(api, SERVICE, conversion=True).register()
    service = {"name": "cloudcore", "namespace": "kubeedge", "port": 10005}
    validating = await api.get(VALIDATING_WEBHOOKS, VALIDATING)
    assert validating["webhooks"][0]["clientConfig"]["service"] == {**service, "path": "/devices"}
    crd = await api.get(CRDS, CONVERTED[0])
    assert crd["spec"]["conversion"]["webhook"]["clientConfig"] == {
        "caBundle": "cGVt",
        "service": {**service, "path": "/convert"},
    }


async def test_a_disabled_webhook_leaves_nothing_behind() -> None:
    api = await prepared()
    await Registration(api, CLIENT, conversion=True).register()
    await forget_webhooks(api)
    assert not (await api.list(VALIDATING_WEBHOOKS)).items
    assert not (await api.list(MUTATING_WEBHOOKS)).items
    assert (await api.get(CRDS, CONVERTED[0]))["spec"]["conversion"] == {"strategy": "None"}


async def test_what_others_registered_stays() -> None:
    api = await prepared()
    await api.create(MUTATING_WEBHOOKS, {"metadata": {"name": MUTATING}, "webhooks": []})
    own = {"metadata": {"name": VALIDATING, "labels": {"edgelab.io/webhooks": "cloudcore"}}}
    await api.create(VALIDATING_WEBHOOKS, own)
    await api.patch(CRDS, CONVERTED[0], {"spec": {"conversion": {"strategy": "Webhook"}}})
    await forget_webhooks(api)
    assert (await api.get(MUTATING_WEBHOOKS, MUTATING))["webhooks"] == []
    assert (await api.get(CRDS, CONVERTED[0]))["spec"]["conversion"]["strategy"] == "Webhook"


async def test_without_the_switch_conversion_is_left_alone() -> None:
    api = await prepared()
    await Registration(api, CLIENT, conversion=False).register()
    assert (await api.get(CRDS, CONVERTED[0]))["spec"]["conversion"] == {"strategy": "None"}


async def test_a_cloudcore_that_may_not_see_webhooks_has_none_to_forget() -> None:
    api = await prepared()

    async def forbidden(*_: Any, **__: Any) -> Any:
        raise ApiError(403, "forbidden")

    api.list = forbidden  # type: ignore[method-assign]
    await forget_webhooks(api)
