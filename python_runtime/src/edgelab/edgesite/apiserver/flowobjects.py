"""The FlowSchemas and PriorityLevelConfigurations that every cluster has (`apis/flowcontrol/bootstrap`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Obj = dict[str, Any]

VERSION = "flowcontrol.apiserver.k8s.io/v1"
AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
MANDATORY = ("exempt", "catch-all")
"""Of both kinds: nobody may change them."""
QUEUES = {64: 6, 128: 6, 16: 4}
"""Number of queues -> how many of them a flow may use."""
# name, shares, percentage that may be lent, number of queues
LEVELS = (
    ("catch-all", 5, 0, 0),
    ("system", 30, 33, 64),
    ("node-high", 40, 25, 64),
    ("leader-election", 10, 0, 16),
    ("workload-high", 40, 50, 128),
    ("workload-low", 100, 90, 128),
    ("global-default", 20, 50, 128),
)
ALL_RESOURCES = {
    "verbs": ["*"],
    "apiGroups": ["*"],
    "resources": ["*"],
    "clusterScope": True,
    "namespaces": ["*"],
}
ALL_PATHS = {"verbs": ["*"], "nonResourceURLs": ["*"]}
PROBES = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}
LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"]}
NODES = {**ALL_RESOURCES, "apiGroups": [""], "resources": ["nodes", "nodes/status"]}
EVERYTHING = {"resourceRules": [ALL_RESOURCES], "nonResourceRules": [ALL_PATHS]}
EVERYBODY = ("group:system:unauthenticated", "group:system:authenticated")
MANAGER, SCHEDULER = "user:system:kube-controller-manager", "user:system:kube-scheduler"
SYSTEM_ACCOUNTS = "account:kube-system:*"
# name, level, precedence, what tells flows apart, subjects, rules
SCHEMAS: tuple[tuple[str, str, int, str, tuple[str, ...], Obj], ...] = (
    ("exempt", "exempt", 1, "", ("group:system:masters",), EVERYTHING),
    ("probes", "exempt", 2, "", EVERYBODY, {"nonResourceRules": [PROBES]}),
    (
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        (MANAGER, SCHEDULER, SYSTEM_ACCOUNTS),
        {"resourceRules": [{"verbs": ["get", "create", "update"], **LEASES}]},
    ),
    (
        "system-node-high",
        "node-high",
        400,
        "ByUser",
        ("group:system:nodes",),
        {"resourceRules": [NODES, {"verbs": ["*"], **LEASES}]},
    ),
    ("system-nodes", "system", 500, "ByUser", ("group:system:nodes",), EVERYTHING),
    ("kube-controller-manager", "workload-high", 800, "ByNamespace", (MANAGER,), EVERYTHING),
    ("kube-scheduler", "workload-high", 800, "ByNamespace", (SCHEDULER,), EVERYTHING),
    ("kube-system-service-accounts", "workload-high", 900, "ByNamespace", (SYSTEM_ACCOUNTS,), EVERYTHING),
    ("service-accounts", "workload-low", 9000, "ByUser", ("group:system:serviceaccounts",), EVERYTHING),
    ("global-default", "global-default", 9900, "ByUser", EVERYBODY, EVERYTHING),
    ("catch-all", "catch-all", 10000, "ByUser", EVERYBODY, EVERYTHING),
)


def levels() -> Iterator[Obj]:
    """The PriorityLevelConfigurations."""
    exempt = {"nominalConcurrencyShares": 0, "lendablePercent": 0}
    yield _object("PriorityLevelConfiguration", "exempt", {"type": "Exempt", "exempt": exempt})
    for name, shares, lendable, queues in LEVELS:
        response: Obj = {"type": "Reject"}
        if queues:
            queuing = {"queues": queues, "handSize": QUEUES[queues], "queueLengthLimit": 50}
            response = {"type": "Queue", "queuing": queuing}
        limited = {
            "nominalConcurrencyShares": shares,
            "limitResponse": response,
            "lendablePercent": lendable,
        }
        yield _object("PriorityLevelConfiguration", name, {"type": "Limited", "limited": limited})


def schemas() -> Iterator[Obj]:
    """The FlowSchemas."""
    for name, level, precedence, method, subjects, rules in SCHEMAS:
        spec: Obj = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
        if method:
            spec["distinguisherMethod"] = {"type": method}
        spec["rules"] = [{"subjects": [_subject(text) for text in subjects], **rules}]
        yield _object("FlowSchema", name, spec)


def _subject(text: str) -> Obj:
    kind, _, name = text.partition(":")
    if kind == "account":
        namespace, _, name = name.partition(":")
        account = {"namespace": namespace, "name": name}
        return {"kind": "ServiceAccount", "serviceAccount": account}
    return {"kind": kind.capitalize(), kind: {"name": name}}


def _object(kind: str, name: str, spec: Obj) -> Obj:
    metadata = {"name": name, "annotations": {AUTO_UPDATE: "true"}}
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def fixed(kind: str, name: str) -> Obj | None:
    """The spec that an object of this name must have, if it is one that nobody may change."""
    if name not in MANDATORY:
        return None
    found = schemas() if kind == "FlowSchema" else levels()
    spec: Obj = next(obj["spec"] for obj in found if obj["metadata"]["name"] == name)
    return spec
