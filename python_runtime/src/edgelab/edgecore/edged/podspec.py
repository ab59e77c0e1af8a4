"""Questions about a Pod object that several parts of edged ask."""

from __future__ import annotations

from typing import Any

from edgelab.objects import quantity

Obj = dict[str, Any]

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"


def containers(pod: Obj) -> list[Obj]:
    """The app containers."""
    return list(pod["spec"].get("containers") or [])


def init_containers(pod: Obj) -> list[Obj]:
    """The init containers, sidecars included."""
    return list(pod["spec"].get("initContainers") or [])


def ephemeral_containers(pod: Obj) -> list[Obj]:
    """Containers that somebody put into the running pod (`kubectl debug`)."""
    return list(pod["spec"].get("ephemeralContainers") or [])


def is_sidecar(container: Obj) -> bool:
    """An init container that keeps running (`restartPolicy: Always`)."""
    return container.get("restartPolicy") == "Always"


def sidecars(pod: Obj) -> list[Obj]:
    """The init containers that keep running."""
    return [container for container in init_containers(pod) if is_sidecar(container)]


def all_containers(pod: Obj) -> list[Obj]:
    """Init containers, then app containers: what the pod was made of from the beginning."""
    return [*init_containers(pod), *containers(pod)]


def every_container(pod: Obj) -> list[Obj]:
    """All of them, those that were put in later too."""
    return [*all_containers(pod), *ephemeral_containers(pod)]


def field_path(pod: Obj, name: str) -> str:
    """Where a container stands in its pod, as events name it: `spec.containers{main}`."""
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        if any(container["name"] == name for container in pod["spec"].get(kind) or []):
            return f"spec.{kind}{{{name}}}"
    return ""


def restart_policy(pod: Obj) -> str:
    """`Always`, `OnFailure` or `Never`."""
    return str(pod["spec"].get("restartPolicy") or "Always")


def host_network(pod: Obj) -> bool:
    """Whether the pod lives in the node's network namespace."""
    return bool(pod["spec"].get("hostNetwork"))


def terminating(pod: Obj) -> bool:
    """Whether the pod's deletion was asked for."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def finished(pod: Obj) -> bool:
    """Whether the API already calls the pod Succeeded or Failed: it never runs again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def grace_seconds(pod: Obj) -> int:
    """Seconds between the stop signal and SIGKILL; at least one."""
    grace = pod["metadata"].get("deletionGracePeriodSeconds")
    if grace is None:
        grace = pod["spec"].get("terminationGracePeriodSeconds")
    return max(1, int(30 if grace is None else grace))


def image_of(container: Obj) -> str:
    """The image with its default tag, as the kubelet hands it to the runtime."""
    image = str(container.get("image", ""))
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return f"{image}:latest"


def pull_policy(container: Obj) -> str:
    """`Always`, `IfNotPresent` or `Never`; `:latest` is pulled each time unless stated otherwise."""
    policy = container.get("imagePullPolicy")
    if policy:
        return str(policy)
    return "Always" if image_of(container).endswith(":latest") else "IfNotPresent"


def amount(container: Obj, kind: str, resource: str) -> str | None:
    """A request or limit as text; requests default to limits as the API server does it."""
    resources = container.get("resources") or {}
    value = (resources.get(kind) or {}).get(resource)
    if value is None and kind == "requests":
        value = (resources.get("limits") or {}).get(resource)
    return None if value is None else str(value)


def qos_class(pod: Obj) -> str:
    """Quality of service (`pkg/apis/core/helper/qos`): from the requests and limits of CPU and memory."""
    some, guaranteed = False, True
    for container in all_containers(pod):
        for resource in ("cpu", "memory"):
            request, limit = (amount(container, kind, resource) for kind in ("requests", "limits"))
            set_request = request is not None and quantity.parse(request) > 0
            set_limit = limit is not None and quantity.parse(limit) > 0
            some = some or set_request or set_limit
            if not set_limit or quantity.parse(request or "0") != quantity.parse(limit or "0"):
                guaranteed = False
    if not some:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def common_user(pod: Obj) -> int | None:
    """The user that all containers run as, if all name the same one (kubelet `FsUserFrom`)."""
    shared = pod["spec"].get("securityContext") or {}
    users = {
        (container.get("securityContext") or {}).get("runAsUser", shared.get("runAsUser"))
        for container in every_container(pod)
    }
    user = users.pop() if len(users) == 1 else None
    return None if user is None else int(user)


def memory_limit(pod: Obj) -> int | None:
    """Bytes that all app containers together may use; None when one of them has no limit."""
    limits = [amount(container, "limits", "memory") for container in containers(pod)]
    found = [quantity.whole(limit) for limit in limits if limit is not None]
    return sum(found) if len(found) == len(limits) else None


APPARMOR_KEY = "container.apparmor.security.beta.kubernetes.io/"
"""Annotation of the time before 1.30, with the container's name behind it."""


def apparmor_profile(pod: Obj, container: Obj) -> tuple[str, str]:
    """Type (`Unconfined`, `RuntimeDefault`, `Localhost`, or empty) and name of a container's profile."""
    for owner in (container, pod["spec"]):
        if profile := (owner.get("securityContext") or {}).get("appArmorProfile"):
            return str(profile.get("type", "")), str(profile.get("localhostProfile") or "")
    note = str((pod["metadata"].get("annotations") or {}).get(APPARMOR_KEY + container["name"], ""))
    kind, _, name = note.partition("/")
    kinds = {"runtime": "RuntimeDefault", "localhost": "Localhost", "unconfined": "Unconfined"}
    return kinds.get(kind, ""), name if kind == "localhost" else ""


def references(pod: Obj) -> set[tuple[str, str]]:
    """(`configmap` or `secret`, name) of everything that the pod's volumes and environment read."""
    found: set[tuple[str, str]] = set()
    for volume in pod["spec"].get("volumes") or []:
        sources = [volume, *((volume.get("projected") or {}).get("sources") or [])]
        for source in sources:
            if config := source.get("configMap"):
                found.add(("configmap", config.get("name", "")))
            if secret := source.get("secret"):
                found.add(("secret", secret.get("secretName") or secret.get("name", "")))
    for container in every_container(pod):
        for item in container.get("envFrom") or []:
            if item.get("configMapRef"):
                found.add(("configmap", item["configMapRef"].get("name", "")))
            if item.get("secretRef"):
                found.add(("secret", item["secretRef"].get("name", "")))
        for variable in container.get("env") or []:
            source = variable.get("valueFrom") or {}
            if source.get("configMapKeyRef"):
                found.add(("configmap", source["configMapKeyRef"].get("name", "")))
            if source.get("secretKeyRef"):
                found.add(("secret", source["secretKeyRef"].get("name", "")))
    return found
