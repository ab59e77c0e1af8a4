"""What the API server is told of each webhook: which objects it is asked about, and what if it is silent.

Names, paths and failure policies are those of KubeEdge's admission program. `client` is a WebhookClientConfig
without a path: its `url` ends, or its `service` is, where paths begin.
"""

from __future__ import annotations

import base64

from edgelab.cloudcore.webhooks.migration import AUTONOMY, LABEL
from edgelab.kube.interface import Obj

TIMEOUT_SECONDS = 10
"""How long the API server waits for an answer."""

DEVICES = ("devices.kubeedge.io", "Namespaced", ["v1beta1"])
RULES = ("rules.kubeedge.io", "Namespaced", ["v1"])
JOBS = ("operations.kubeedge.io", "Cluster", ["v1alpha1", "v1alpha2"])
PODS = ("", "Namespaced", ["v1"])
Kinds = tuple[str, str, list[str]]
"""API group, scope and versions."""


def client_config(*, ca_pem: bytes, host: str, port: int, service: str, namespace: str) -> Obj:
    """How the API server reaches this CloudCore: by a Service, or else at a host's port."""
    bundle = {"caBundle": base64.b64encode(ca_pem).decode()}
    if service:
        return {**bundle, "service": {"name": service, "namespace": namespace, "port": port}}
    return {**bundle, "url": f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"}


def names(*, host: str, service: str, namespace: str) -> list[str]:
    """The names and addresses by which the API server calls: the certificate has them."""
    return [f"{service}.{namespace}.svc"] if service else [host]


def validating(client: Obj) -> list[Obj]:
    """`webhooks` of the ValidatingWebhookConfiguration."""
    return [
        _hook(client, "validatedevice", "/devices", DEVICES, "devices", policy="Ignore"),
        _hook(client, "validatedevicemodel", "/devicemodels", DEVICES, "devicemodels", policy="Ignore"),
        _hook(client, "validatedrule", "/rules", RULES, "rules"),
        _hook(client, "validatedruleendpoint", "/ruleendpoints", RULES, "ruleendpoints"),
        _hook(client, "validatenodeupgradejob", "/nodeupgradejobs", JOBS, "nodeupgradejobs"),
    ]


def mutating(client: Obj) -> list[Obj]:
    """`webhooks` of the MutatingWebhookConfiguration; only new objects are changed."""
    jobs = _hook(client, "mutatenodeupgradejob", "/mutating/nodeupgradejobs", JOBS, "nodeupgradejobs")
    pods = _hook(client, "mutateofflinemigration", "/offlinemigration", PODS, "pods", policy="Ignore")
    pods["objectSelector"] = {"matchLabels": {LABEL: AUTONOMY}}
    for hook in (jobs, pods):
        hook["rules"][0]["operations"] = ["CREATE"]
        hook["reinvocationPolicy"] = "Never"
    return [jobs, pods]


def conversion(client: Obj) -> Obj:
    """`spec.conversion` of the definitions."""
    webhook = {"clientConfig": at(client, "/convert"), "conversionReviewVersions": ["v1"]}
    return {"strategy": "Webhook", "webhook": webhook}


def at(client: Obj, path: str) -> Obj:
    """The client configuration of one path."""
    if "url" in client:
        return {**client, "url": client["url"] + path}
    return {**client, "service": {**client["service"], "path": path}}


def _hook(client: Obj, name: str, path: str, kinds: Kinds, plural: str, *, policy: str = "Fail") -> Obj:
    group, scope, versions = kinds
    rule = {
        "apiGroups": [group],
        "apiVersions": versions,
        "operations": ["CREATE", "UPDATE"],
        "resources": [plural],
        "scope": scope,
    }
    return {
        "name": f"{name}.kubeedge.io",
        "admissionReviewVersions": ["v1"],
        "clientConfig": at(client, path),
        "failurePolicy": policy,
        "matchPolicy": "Equivalent",
        "rules": [rule],
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
    }
