"""Quotas, templates, webhooks, admission policies, storage drivers."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.edgesite.apiserver.printers.base import created, joined, pairs
from edgelab.objects.selectors import format_labels

Obj = dict[str, Any]

ADMISSION = "admissionregistration.k8s.io"
UNSET = "<unset>"


def resource_quota(obj: Obj, now: dt.datetime) -> list[Any]:
    """A ResourceQuota's row: what is used of what, limits apart."""
    status = obj.get("status") or {}
    used = status.get("used") or {}
    parts: dict[bool, list[str]] = {True: [], False: []}
    for name, hard in sorted((status.get("hard") or {}).items()):
        parts[name.startswith("limits.")].append(f"{name}: {used.get(name, '0')}/{hard}")
    return [obj["metadata"]["name"], ", ".join(parts[False]), ", ".join(parts[True]), created(obj, now)]


def pod_template(obj: Obj, now: dt.datetime) -> list[Any]:
    """A PodTemplate's row."""
    template = obj.get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or []
    return [
        obj["metadata"]["name"],
        ",".join(item["name"] for item in containers),
        ",".join(item.get("image", "") for item in containers),
        pairs((template.get("metadata") or {}).get("labels")),
    ]


def webhooks(obj: Obj, now: dt.datetime) -> list[Any]:
    """A row of a webhook configuration."""
    return [obj["metadata"]["name"], len(obj.get("webhooks") or ()), created(obj, now)]


def admission_policy(obj: Obj, now: dt.datetime) -> list[Any]:
    """A ValidatingAdmissionPolicy's row."""
    spec = obj.get("spec") or {}
    kind = spec.get("paramKind")
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET
    return [obj["metadata"]["name"], len(spec.get("validations") or ()), shown, created(obj, now)]


def admission_binding(obj: Obj, now: dt.datetime) -> list[Any]:
    """A ValidatingAdmissionPolicyBinding's row."""
    spec = obj.get("spec") or {}
    reference = spec.get("paramRef") or {}
    shown = UNSET
    if reference.get("name"):
        shown = f"{reference.get('namespace') or '*'}/{reference['name']}"
    elif reference.get("selector"):
        shown = format_labels(reference["selector"])
    return [obj["metadata"]["name"], spec.get("policyName", ""), shown, created(obj, now)]


def api_service(obj: Obj, now: dt.datetime) -> list[Any]:
    """An APIService's row."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    found: Obj = next((item for item in conditions if item.get("type") == "Available"), {})
    shown = found.get("status") or "Unknown"
    if shown != "True" and found.get("reason"):
        shown = f"{shown} ({found['reason']})"
    service = (obj.get("spec") or {}).get("service")
    where = "Local" if service is None else f"{service.get('namespace', '')}/{service.get('name', '')}"
    return [obj["metadata"]["name"], where, shown, created(obj, now)]


def component(obj: Obj, now: dt.datetime) -> list[Any]:
    """A ComponentStatus's row."""
    found: Obj = next((item for item in obj.get("conditions") or () if item.get("type") == "Healthy"), {})
    state = "Unknown" if not found else "Healthy" if found.get("status") == "True" else "Unhealthy"
    return [obj["metadata"]["name"], state, found.get("message", ""), found.get("error", "")]


def storage_driver(obj: Obj, now: dt.datetime) -> list[Any]:
    """A CSIDriver's row."""
    spec = obj.get("spec") or {}
    requests = spec.get("tokenRequests")
    return [
        obj["metadata"]["name"],
        bool(spec.get("attachRequired", True)),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        UNSET if requests is None else ",".join(item.get("audience", "") for item in requests),
        bool(spec.get("requiresRepublish")),
        joined(spec.get("volumeLifecycleModes") or ()),
        created(obj, now),
    ]


PRINTERS = {
    ("", "ResourceQuota"): resource_quota,
    ("", "PodTemplate"): pod_template,
    ("", "ComponentStatus"): component,
    ("apiregistration.k8s.io", "APIService"): api_service,
    (ADMISSION, "MutatingWebhookConfiguration"): webhooks,
    (ADMISSION, "ValidatingWebhookConfiguration"): webhooks,
    (ADMISSION, "ValidatingAdmissionPolicy"): admission_policy,
    (ADMISSION, "ValidatingAdmissionPolicyBinding"): admission_binding,
    ("storage.k8s.io", "CSIDriver"): storage_driver,
}
