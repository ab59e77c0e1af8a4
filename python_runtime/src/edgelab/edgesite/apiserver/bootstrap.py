"""What a new cluster begins with: namespaces, default roles and bindings, priority classes, `kubernetes`.

Roles follow `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`, for the parts that exist here.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

RBAC = "rbac.authorization.k8s.io/v1"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
READ = ["get", "list", "watch"]
WRITE = ["create", "delete", "deletecollection", "patch", "update"]
ALL = [*WRITE, *READ]
CORE = [
    "configmaps",
    "endpoints",
    "events",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "serviceaccounts",
    "services",
]
APPS = [
    "controllerrevisions",
    "daemonsets",
    "deployments",
    "deployments/scale",
    "replicasets",
    "replicasets/scale",
    "statefulsets",
    "statefulsets/scale",
]
NETWORK = ["ingresses", "networkpolicies"]


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Obj:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


def _paths(paths: list[str]) -> Obj:
    return {"nonResourceURLs": paths, "verbs": ["get"]}


def _workload_rules(verbs: list[str]) -> list[Obj]:
    return [
        _rule([""], CORE, verbs),
        _rule(["apps"], APPS, verbs),
        _rule(["batch"], ["cronjobs", "jobs"], verbs),
        _rule(["autoscaling"], ["horizontalpodautoscalers"], verbs),
        _rule(["policy"], ["poddisruptionbudgets"], verbs),
        _rule(["networking.k8s.io"], NETWORK, verbs),
    ]


VIEW = [
    *_workload_rules(READ),
    _rule(
        [""],
        ["limitranges", "namespaces", "namespaces/status", "pods/log", "pods/status", "resourcequotas"],
        READ,
    ),
    _rule(["discovery.k8s.io"], ["endpointslices"], READ),
]
EDIT = [
    *_workload_rules(ALL),
    _rule(
        [""], ["secrets", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy"], ALL
    ),
    _rule([""], ["pods/eviction", "serviceaccounts/token"], ["create"]),
    _rule([""], ["serviceaccounts"], ["impersonate"]),
    _rule(["coordination.k8s.io"], ["leases"], ALL),
]
NODE = [
    _rule(["authentication.k8s.io"], ["tokenreviews"], ["create"]),
    _rule(["authorization.k8s.io"], ["localsubjectaccessreviews", "subjectaccessreviews"], ["create"]),
    _rule([""], ["services"], READ),
    _rule([""], ["nodes"], ["create", *READ, "patch", "update"]),
    _rule([""], ["nodes/status", "pods/status", "persistentvolumeclaims/status"], ["get", "patch", "update"]),
    _rule([""], ["events"], ["create", "patch", "update"]),
    _rule([""], ["pods"], ["create", "delete", *READ]),
    _rule([""], ["pods/eviction", "serviceaccounts/token"], ["create"]),
    _rule([""], ["configmaps", "secrets", "persistentvolumeclaims", "persistentvolumes"], READ),
    _rule([""], ["endpoints"], ["get"]),
    _rule(["certificates.k8s.io"], ["certificatesigningrequests"], ["create", *READ]),
    _rule(["coordination.k8s.io"], ["leases"], ["create", "delete", "get", "patch", "update"]),
    _rule(["storage.k8s.io"], ["volumeattachments"], ["get"]),
    _rule(["storage.k8s.io"], ["csidrivers"], READ),
    _rule(["storage.k8s.io"], ["csinodes"], ["create", "delete", "get", "patch", "update"]),
    _rule(["node.k8s.io"], ["runtimeclasses"], READ),
]
DISCOVERY_PATHS = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
]
PUBLIC_PATHS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
REVIEWS = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
CLUSTER_ROLES: dict[str, list[Obj]] = {
    "cluster-admin": [_rule(["*"], ["*"], ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}],
    "system:aggregate-to-view": VIEW,
    "system:aggregate-to-edit": EDIT,
    "system:aggregate-to-admin": [
        _rule(["rbac.authorization.k8s.io"], ["rolebindings", "roles"], ALL),
        _rule(["authorization.k8s.io"], ["localsubjectaccessreviews"], ["create"]),
    ],
    "system:basic-user": [
        _rule(["authorization.k8s.io"], REVIEWS, ["create"]),
        _rule(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
    ],
    "system:discovery": [_paths(DISCOVERY_PATHS)],
    "system:public-info-viewer": [_paths(PUBLIC_PATHS)],
    "system:service-account-issuer-discovery": [
        _paths(["/.well-known/openid-configuration", "/openid/v1/jwks"])
    ],
    "system:node": NODE,
    "system:node-bootstrapper": [
        _rule(["certificates.k8s.io"], ["certificatesigningrequests"], ["create", *READ]),
    ],
    "system:auth-delegator": [
        _rule(["authentication.k8s.io"], ["tokenreviews"], ["create"]),
        _rule(["authorization.k8s.io"], ["subjectaccessreviews"], ["create"]),
    ],
    "system:monitoring": [
        _paths(["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*"])
    ],
}
AGGREGATES = {"admin": ["admin", "edit", "view"], "edit": ["edit", "view"], "view": ["view"]}
BINDINGS = {
    "cluster-admin": ["system:masters"],
    "system:basic-user": ["system:authenticated"],
    "system:discovery": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
    "system:service-account-issuer-discovery": ["system:serviceaccounts"],
    "system:node": ["system:nodes"],
    "system:node-bootstrapper": ["system:bootstrappers"],
    "system:monitoring": ["system:monitoring"],
}
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}


def _metadata(name: str, **labels: str) -> Obj:
    return {"name": name, "labels": {**LABELS, **labels}, "annotations": dict(ANNOTATIONS)}


def _roles() -> list[Obj]:
    roles = []
    for name, rules in CLUSTER_ROLES.items():
        target = name.removeprefix("system:aggregate-to-")
        labels = {}
        if target != name:
            labels = {f"rbac.authorization.k8s.io/aggregate-to-{target}": "true"}
        roles.append(
            {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": _metadata(name, **labels), "rules": rules}
        )
    for name, sources in AGGREGATES.items():
        selectors = [
            {"matchLabels": {f"rbac.authorization.k8s.io/aggregate-to-{source}": "true"}}
            for source in sources
        ]
        roles.append(
            {
                "apiVersion": RBAC,
                "kind": "ClusterRole",
                "metadata": _metadata(name),
                "aggregationRule": {"clusterRoleSelectors": selectors},
                "rules": [],
            }
        )
    return roles


def _bindings() -> list[Obj]:
    return [
        {
            "apiVersion": RBAC,
            "kind": "ClusterRoleBinding",
            "metadata": _metadata(name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": g} for g in groups
            ],
        }
        for name, groups in BINDINGS.items()
    ]


def _priority_classes() -> list[Obj]:
    classes = (("system-node-critical", 2000001000), ("system-cluster-critical", 2000000000))
    version = "scheduling.k8s.io/v1"
    return [
        {"apiVersion": version, "kind": "PriorityClass", "metadata": {"name": name}, "value": value}
        for name, value in classes
    ]


async def bootstrap(
    registry: Registry, network: ipaddress.IPv4Network, addresses: list[str], port: int
) -> None:
    """Create what is missing; what is there stays as its owner left it."""
    names = ({"name": name} for name in NAMESPACES)
    await _ensure_all(
        registry, [{"apiVersion": "v1", "kind": "Namespace", "metadata": name} for name in names]
    )
    others = [*_roles(), *_bindings(), *_priority_classes(), _service(network)]
    await _ensure_all(registry, others)
    for obj in _endpoints(addresses, port):
        await _ensure(registry, obj, replace=True)


async def _ensure_all(registry: Registry, objects: list[Obj]) -> None:
    """All of them in one commit."""
    async with asyncio.TaskGroup() as group:
        for obj in objects:
            group.create_task(_ensure(registry, obj), name=f"bootstrap/{obj['metadata']['name']}")


def _service(network: ipaddress.IPv4Network) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": str(network[1]),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    }


def _endpoints(addresses: list[str], port: int) -> list[Obj]:
    metadata = {"name": "kubernetes", "namespace": "default"}
    labels = {"kubernetes.io/service-name": "kubernetes"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {**metadata, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [
                {
                    "addresses": [{"ip": address} for address in addresses],
                    "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
                }
            ],
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        },
    ]


async def _ensure(registry: Registry, obj: Obj, *, replace: bool = False) -> None:
    kind = registry.kinds.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    present = registry.store.get(registry.key(kind, namespace, name)) is not None
    try:
        if not present:
            await registry.create(kind, namespace, obj, Context())
        elif replace:
            await registry.update(kind, namespace, name, obj, Context())
    except ApiError as error:
        raise RuntimeError(f"cannot bootstrap {kind.name} {name}: {error}") from error
