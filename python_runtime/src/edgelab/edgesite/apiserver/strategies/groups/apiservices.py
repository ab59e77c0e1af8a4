"""APIServices (`kube-aggregator/pkg/apis/apiregistration`): local ones only, nothing is aggregated."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, quote, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

GROUP, KIND = "apiregistration.k8s.io", "APIService"
STATUSES = ["True", "False", "Unknown"]
NOT_LOCAL = "local APIServices may not have "
NO_AGGREGATION = "EdgeSite serves every API by itself and passes no requests on to another server"
WORDS = "only v1 may have an empty group and it better be legacy kube"


def default(obj: Obj) -> None:
    """The port of a server's Service."""
    service = obj.setdefault("spec", {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def on_create(obj: Obj) -> None:
    """What is served here is available at once."""
    condition = {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": obj["metadata"]["creationTimestamp"],
        "reason": "Local",
        "message": "Local APIServices are always available",
    }
    obj["status"] = {"conditions": [condition]}


def validate(obj: Obj) -> list[Cause]:
    """ValidateAPIService."""
    spec, name = obj["spec"], obj["metadata"].get("name") or ""
    group, version = spec.get("group") or "", spec.get("version") or ""
    causes: list[Cause] = []
    if name and not names.path_segment(name) and name != f"{version}.{group}":
        text = f'must be `spec.version+"."+spec.group`: {quote(f"{version}.{group}")}'
        causes.append(bad("metadata.name", name, text))
    if not group and version != "v1":
        causes.append(required("spec.group", WORDS))
    if group:
        causes += checks.dns_subdomain(group, "spec.group")
    causes += checks.texts(names.service_label, version, "spec.version")
    for field, highest in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= highest:
            causes.append(bad(f"spec.{field}", value, f"must be positive and less than {highest}"))
    return causes + (_local(spec) if spec.get("service") is None else _remote(spec))


def _local(spec: Obj) -> list[Cause]:
    causes: list[Cause] = []
    bundle = spec.get("caBundle") or ""
    if bundle:
        size = len(bundle) * 3 // 4 - bundle.count("=")
        causes.append(bad("spec.caBundle", f"{size} bytes", NOT_LOCAL + "a caBundle"))
    if spec.get("insecureSkipTLSVerify"):
        causes.append(bad("spec.insecureSkipTLSVerify", True, NOT_LOCAL + "insecureSkipTLSVerify"))
    return causes


def _remote(spec: Obj) -> list[Cause]:
    service = spec["service"]
    causes = [required(f"spec.service.{field}") for field in ("namespace", "name") if not service.get(field)]
    port = service.get("port") or 0
    if not 1 <= port <= 65535:
        causes.append(bad("spec.service.port", port, f"port is not valid: {checks.PORT_RANGE}"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        text = "may not be true if caBundle is present"
        causes.append(bad("spec.insecureSkipTLSVerify", True, text))
    return causes or [forbidden("spec.service", NO_AGGREGATION)]


def changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateAPIServiceUpdate."""
    return objectmeta.changed(new, old) + objectmeta.of_kind(new, GROUP, KIND) + validate(new)


def status_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateAPIServiceStatusUpdate."""
    causes = objectmeta.changed(new, old)
    for position, item in enumerate((new.get("status") or {}).get("conditions") or ()):
        if item.get("status") not in STATUSES:
            field = f"status.conditions[{position}].status"
            causes.append(unsupported(field, item.get("status"), STATUSES))
    return causes


API_SERVICE = Strategy(
    default=default,
    on_create=on_create,
    validate=validate,
    validate_update=changed,
    parts={"status": Part(objectmeta.keep_described, status_changed)},
    keeps_status_on_create=True,
    has_generation=False,
    unconditional=False,
)
