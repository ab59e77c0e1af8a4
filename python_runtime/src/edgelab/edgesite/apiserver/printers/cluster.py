"""Quotas, templates, webhooks, admission policies, storage drivers."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.edgesite.apiserver.printers.base import Printer, columns, created, joined, pairs
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


WEBHOOKS = Printer(columns("Name", "Webhooks:integer", "Age"), webhooks)
PRINTERS = {
    ("", "ResourceQuota"): Printer(columns("Name", "Request", "Limit", "Age"), resource_quota),
    ("", "PodTemplate"): Printer(columns("Name", "Containers", "Images", "Pod Labels"), pod_template),
    (ADMISSION, "MutatingWebhookConfiguration"): WEBHOOKS,
    (ADMISSION, "ValidatingWebhookConfiguration"): WEBHOOKS,
    (ADMISSION, "ValidatingAdmissionPolicy"): Printer(
        columns("Name", "Validations:integer", "ParamKind", "Age"), admission_policy
    ),
    (ADMISSION, "ValidatingAdmissionPolicyBinding"): Printer(
        columns("Name", "PolicyName", "ParamRef", "Age"), admission_binding
    ),
    ("storage.k8s.io", "CSIDriver"): Printer(
        columns(
            "Name",
            "AttachRequired:boolean",
            "PodInfoOnMount:boolean",
            "StorageCapacity:boolean",
            "TokenRequests",
            "RequiresRepublish:boolean",
            "Modes",
            "Age",
        ),
        storage_driver,
    ),
    ("storage.k8s.io", "CSIStorageCapacity"): Printer(
        columns("Name", "Created At:date"),
        lambda obj, now: [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp", "")],
    ),
}
