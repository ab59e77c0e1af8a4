"""Pods: quality of service, what is valid, and what of a running pod can change."""

from __future__ import annotations

import copy
from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import poddefaults
from edgelab.edgesite.apiserver.strategy import Strategy
from edgelab.objects import quantity

Obj = dict[str, Any]

RESTART_POLICIES = ["Always", "Never", "OnFailure"]
PROTOCOLS = ["SCTP", "TCP", "UDP"]
PULL_POLICIES = ["Always", "IfNotPresent", "Never"]
DNS_POLICIES = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]
CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def qos_class(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort (Kubernetes `pkg/apis/core/helper/qos`)."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    requests: dict[str, Any] = {}
    guaranteed = bool(containers)
    any_set = False
    for container in containers:
        resources = container.get("resources") or {}
        limits = {k: v for k, v in (resources.get("limits") or {}).items() if k in ("cpu", "memory")}
        requests = {k: v for k, v in (resources.get("requests") or {}).items() if k in ("cpu", "memory")}
        any_set = any_set or any(quantity.parse(v) for v in (*limits.values(), *requests.values()))
        complete = {"cpu", "memory"} <= limits.keys()
        equal = all(quantity.parse(requests.get(k, v)) == quantity.parse(v) for k, v in limits.items())
        guaranteed = guaranteed and complete and equal
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def on_create(pod: Obj) -> None:
    """A new pod is Pending, whatever the client says."""
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod.get("spec") or {})}


def on_update(new: Obj, old: Obj) -> None:
    """The quality of service stays."""
    new["status"] = old.get("status") or {}


def validate(pod: Obj) -> list[Cause]:
    """What is wrong with a pod."""
    return validate_spec(pod.get("spec") or {}, "spec")


def validate_spec(spec: Obj, path: str) -> list[Cause]:
    """What is wrong with a PodSpec."""
    causes = _volumes(spec, path)
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    containers = spec.get("containers") or []
    if not containers:
        causes.append(required(f"{path}.containers"))
    seen: set[str] = set()
    for field in ("containers", "initContainers"):
        for position, container in enumerate(spec.get(field) or ()):
            causes += _container(container, f"{path}.{field}[{position}]", volumes, seen)
    for field, allowed in (("restartPolicy", RESTART_POLICIES), ("dnsPolicy", DNS_POLICIES)):
        if spec.get(field) not in allowed:
            causes.append(unsupported(f"{path}.{field}", spec.get(field), allowed))
    if spec.get("nodeName"):
        causes += [
            bad(f"{path}.nodeName", spec["nodeName"], text) for text in names.subdomain(spec["nodeName"])
        ]
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline < 2**31:
        causes.append(
            bad(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    grace = spec.get("terminationGracePeriodSeconds") or 0
    if grace < 0:
        causes.append(
            bad(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")
        )
    return causes + _tolerations(spec, path)


def _volumes(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, volume in enumerate(spec.get("volumes") or ()):
        field, name = f"{path}.volumes[{position}]", volume.get("name") or ""
        if not name:
            causes.append(required(f"{field}.name"))
        else:
            causes += [bad(f"{field}.name", name, text) for text in names.label(name)]
        if name in seen:
            causes.append(duplicate(f"{field}.name", name))
        seen.add(name)
        if len(set(volume) - {"name"}) > 1:
            causes.append(forbidden(field, "may not specify more than 1 volume type"))
    return causes


def _container(container: Obj, path: str, volumes: set[Any], seen: set[str]) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name") or ""
    if not name:
        causes.append(required(f"{path}.name"))
    else:
        causes += [bad(f"{path}.name", name, text) for text in names.label(name)]
    if name in seen:
        causes.append(duplicate(f"{path}.name", name))
    seen.add(name)
    image = container.get("image") or ""
    if not image:
        causes.append(required(f"{path}.image"))
    elif image != image.strip():
        causes.append(bad(f"{path}.image", image, "must not have leading or trailing whitespace"))
    if container.get("imagePullPolicy") not in PULL_POLICIES:
        causes.append(unsupported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES))
    return (
        causes
        + _ports(container, path)
        + _environment(container, path, volumes)
        + _resources(container, path)
    )


def _ports(container: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for position, port in enumerate(container.get("ports") or ()):
        for field in ("containerPort", "hostPort"):
            number = port.get(field)
            if number is None and field == "containerPort":
                causes.append(required(f"{path}.ports[{position}].{field}"))
            elif number and not 1 <= number <= 65535:
                text = "must be between 1 and 65535, inclusive"
                causes.append(bad(f"{path}.ports[{position}].{field}", number, text))
        if port.get("protocol") not in PROTOCOLS:
            causes.append(unsupported(f"{path}.ports[{position}].protocol", port.get("protocol"), PROTOCOLS))
    return causes


def _environment(container: Obj, path: str, volumes: set[Any]) -> list[Cause]:
    causes: list[Cause] = []
    for position, variable in enumerate(container.get("env") or ()):
        field = f"{path}.env[{position}]"
        if not variable.get("name"):
            causes.append(required(f"{field}.name"))
        if variable.get("value") and variable.get("valueFrom"):
            causes.append(bad(f"{field}.valueFrom", "", "may not be specified when `value` is not empty"))
    for position, mount in enumerate(container.get("volumeMounts") or ()):
        field = f"{path}.volumeMounts[{position}]"
        if mount.get("name") not in volumes:
            causes.append(
                Cause(f"{field}.name", "FieldValueNotFound", f'Not found: "{mount.get("name", "")}"')
            )
        if not mount.get("mountPath"):
            causes.append(required(f"{field}.mountPath"))
    return causes


def _resources(container: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    for name, amount in (resources.get("requests") or {}).items():
        if name in limits and quantity.parse(amount) > quantity.parse(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            causes.append(bad(f"{path}.resources.requests", amount, text))
    return causes


def _tolerations(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for position, toleration in enumerate(spec.get("tolerations") or ()):
        field, operator = f"{path}.tolerations[{position}]", toleration.get("operator") or "Equal"
        if not toleration.get("key") and operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            causes.append(bad(f"{field}.operator", operator, text))
        if operator == "Exists" and toleration.get("value"):
            causes.append(
                bad(f"{field}.operator", toleration, "value must be empty when `operator` is 'Exists'")
            )
    return causes


def validate_update(new: Obj, old: Obj) -> list[Cause]:
    """Of a pod's spec only images, tolerations (more of them) and the deadline can change."""
    mine, theirs = copy.deepcopy(new.get("spec") or {}), copy.deepcopy(old.get("spec") or {})
    added = [item for item in theirs.get("tolerations") or () if item not in (mine.get("tolerations") or ())]
    for spec in (mine, theirs):
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
            container.pop("image", None)
        for field in ("activeDeadlineSeconds", "tolerations"):
            spec.pop(field, None)
    if mine != theirs or added:
        return [forbidden("spec", CHANGEABLE)]
    return []


POD = Strategy(
    default=poddefaults.pod,
    on_create=on_create,
    on_update=on_update,
    validate=validate,
    validate_update=validate_update,
    keeps_status_on_create=True,
    returns_deleted=True,
)
