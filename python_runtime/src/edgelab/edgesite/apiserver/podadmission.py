"""What admission plugins do to a new pod: Priority, DefaultTolerationSeconds, RuntimeClass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.store import Key, Store
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

SYSTEM_PRIORITIES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
CLASSES = "scheduling.k8s.io/priorityclasses"
TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
COMPUTED = "must not be provided in pod spec; priority admission controller computed"


def refused(plural: str, group: str, obj: Obj, why: str) -> ApiError:
    """403 of an admission plugin."""
    name = obj["metadata"].get("name") or ""
    details = {"name": name, **({"group": group} if group else {}), "kind": plural}
    what = f"{plural}.{group}" if group else plural
    return ApiError(403, f'{what} "{name}" is forbidden: {why}', details=details)


def complete(store: Store, pod: Obj) -> None:
    """Fill in a new pod, in place. Raises ApiError 403."""
    _priority(store, pod)
    _tolerate(pod)
    _runtime(store, pod)


def keep(pod: Obj, old: Obj) -> None:
    """An update without a priority keeps it."""
    for field in ("priority", "preemptionPolicy"):
        if field in old["spec"]:
            pod["spec"].setdefault(field, old["spec"][field])


def _tolerate(pod: Obj) -> None:
    tolerations = pod["spec"].get("tolerations") or []
    for key in TOLERATED:
        if not any(_tolerates(item, key) for item in tolerations):
            extra = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            tolerations = [*tolerations, extra]
    pod["spec"]["tolerations"] = tolerations


def _tolerates(toleration: Obj, key: str) -> bool:
    matches = toleration.get("key") == key or (
        not toleration.get("key") and toleration.get("operator") == "Exists"
    )
    return bool(matches and toleration.get("effect") in (None, "", "NoExecute"))


def _priority(store: Store, pod: Obj) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName") or ""
    found: Obj = {"value": SYSTEM_PRIORITIES.get(name, 0)}
    if name and name not in SYSTEM_PRIORITIES:
        entry = store.head(Key(CLASSES, "", name))
        if entry is None:
            raise refused("pods", "", pod, f"no PriorityClass with name {name} was found")
        found = codec.decode(entry.data)
    elif not name and (default := default_class(store)) is not None:
        found = default
        spec["priorityClassName"] = found["metadata"]["name"]
    priority, policy = found.get("value", 0), found.get("preemptionPolicy", "PreemptLowerPriority")
    given = spec.get("priority")
    if given is not None and given != priority:
        text = (
            f"the integer value of priority ({given}) {COMPUTED} {priority} from the given PriorityClass name"
        )
        raise refused("pods", "", pod, text)
    given = spec.get("preemptionPolicy")
    if given is not None and given != policy:
        text = f"the string value of PreemptionPolicy ({given}) {COMPUTED} {policy}"
        raise refused("pods", "", pod, f"{text} from the given PriorityClass name")
    spec["priority"], spec["preemptionPolicy"] = priority, policy


def default_class(store: Store) -> Obj | None:
    """The PriorityClass for pods that name none: the lowest that says so."""
    classes = [codec.decode(entry.data) for entry in store.heads(CLASSES)]
    marked = [found for found in classes if found.get("globalDefault")]
    return min(marked, key=lambda found: int(found.get("value", 0)), default=None)


def one_default(store: Store, obj: Obj, old: Obj | None) -> None:
    """Only one PriorityClass is the default. Raises ApiError 403."""
    present = default_class(store) if obj.get("globalDefault") else None
    if present is None:
        return
    name = present["metadata"]["name"]
    if old is None or name != obj["metadata"]["name"]:
        text = f"PriorityClass {name} is already marked as default. Only one default can exist"
        raise refused("priorityclasses", "scheduling.k8s.io", obj, text)


def _runtime_class(store: Store, pod: Obj) -> Obj:
    name = pod["spec"].get("runtimeClassName")
    if name is None:
        return {}
    entry = store.head(Key("node.k8s.io/runtimeclasses", "", name))
    if entry is None:
        raise refused("pods", "", pod, f'pod rejected: RuntimeClass "{name}" not found')
    return codec.decode(entry.data)


def _runtime(store: Store, pod: Obj) -> None:
    found, spec = _runtime_class(store, pod), pod["spec"]
    overhead = (found.get("overhead") or {}).get("podFixed")
    if "overhead" in found and spec.get("overhead") and not checks.semantic(spec["overhead"], overhead):
        text = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        raise refused("pods", "", pod, text)
    if overhead:
        spec["overhead"] = dict(overhead)
    scheduling = found.get("scheduling") or {}
    selector = spec.get("nodeSelector") or {}
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            text = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value};"
            raise refused("pods", "", pod, f"{text} pod.spec.nodeSelector[{key}] = {selector[key]}")
        selector = {**selector, key: value}
    if selector:
        spec["nodeSelector"] = selector
    present = spec.get("tolerations") or []
    extra = [item for item in scheduling.get("tolerations") or () if item not in present]
    spec["tolerations"] = [*present, *extra]


def check_runtime(store: Store, pod: Obj) -> None:
    """A pod has the overhead of its RuntimeClass, or none. Raises ApiError 403."""
    found, overhead = _runtime_class(store, pod), pod["spec"].get("overhead")
    wanted = (found.get("overhead") or {}).get("podFixed")
    if "overhead" in found and not checks.semantic(overhead or {}, wanted or {}):
        text = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        raise refused("pods", "", pod, text)
    if "overhead" not in found and overhead is not None:
        text = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        raise refused("pods", "", pod, text)


def of_namespace(store: Store, bucket: str, namespace: str) -> Iterator[Obj]:
    """The newest objects of a kind in a namespace."""
    for entry in store.heads(bucket):
        if entry.key.namespace == namespace:
            yield codec.decode(entry.data)
