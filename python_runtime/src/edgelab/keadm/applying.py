"""Create or change API objects so that they hold what a manifest says.

A change is a JSON merge patch (RFC 7386). What a manifest once said and says no longer is removed,
which the annotation that kubectl also uses makes possible. Fields that others set stay.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.objects.status import ApiError

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
FIELD_NOT_SET = object()


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one object: `action` is created, changed, deleted or unchanged."""

    kind: str
    name: str
    namespace: str
    action: str
    before: Obj | None = None
    after: Obj | None = None

    def summary(self) -> dict[str, Any]:
        """The entry of the JSON answer."""
        return {
            "kind": self.kind,
            "name": self.name,
            "namespace": self.namespace,
            "action": self.action,
            "before": self.before,
            "after": self.after,
        }


async def apply_object(api: KubeApi, resource: Resource, manifest: Obj, *, check: bool = False) -> Applied:
    """Bring one object to what `manifest` says. Raises ApiError."""
    name = manifest["metadata"]["name"]
    namespace = manifest["metadata"].get("namespace", "default") if resource.namespaced else ""
    wanted = _annotated(manifest, namespace)
    before = await _read(api, resource, name, namespace)
    if before is None:
        if not check:
            await api.create(resource, wanted, namespace or None)
        return Applied(resource.kind, name, namespace, "created", None, _essence(manifest, resource.kind))
    patch = difference(before, wanted)
    if not patch:
        return Applied(resource.kind, name, namespace, "unchanged")
    shown = (_essence(_cut(before, patch), resource.kind), _essence(patch, resource.kind))
    if check:
        return Applied(resource.kind, name, namespace, "changed", *shown)
    after = await api.patch(resource, name, patch, namespace or None)
    same = _version(after) == _version(before)
    return Applied(resource.kind, name, namespace, "unchanged" if same else "changed", *shown)


async def remove_object(
    api: KubeApi, resource: Resource | None, manifest: Obj, *, check: bool = False
) -> Applied:
    """Delete the object of a manifest, and what it owns; one whose kind nobody serves is not there.

    Raises ApiError.
    """
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    namespace = manifest["metadata"].get("namespace", "default") if resource and resource.namespaced else ""
    before = await _read(api, resource, name, namespace) if resource else None
    if resource is None or before is None:
        return Applied(kind, name, namespace, "unchanged")
    if not check:
        try:
            await api.delete(resource, name, namespace or None, options={"propagationPolicy": "Background"})
        except ApiError as error:
            if error.code != 404:
                raise
    return Applied(kind, name, namespace, "deleted", _essence(_cut(before, manifest), kind), None)


async def _read(api: KubeApi, resource: Resource, name: str, namespace: str) -> Obj | None:
    try:
        return await api.get(resource, name, namespace or None)
    except ApiError as error:
        if error.code == 404:
            return None
        raise


def _annotated(manifest: Obj, namespace: str) -> Obj:
    """The manifest with its namespace and with itself as an annotation, as kubectl stores it."""
    metadata = dict(manifest["metadata"])
    if namespace:
        metadata["namespace"] = namespace
    bare = {**manifest, "metadata": metadata}
    if manifest.get("kind") == "Secret":
        return bare  # a copy of secret data in an annotation would be one place more to leak from
    text = json.dumps(bare, separators=(",", ":"), sort_keys=True) + "\n"
    annotations = {**(metadata.get("annotations") or {}), LAST_APPLIED: text}
    return {**bare, "metadata": {**metadata, "annotations": annotations}}


def difference(live: Obj, wanted: Obj) -> Obj:
    """The merge patch that makes `live` hold what `wanted` says; empty when it does already."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    before = json.loads(text) if text else {}
    patch: Obj = _patch(live, wanted, before)
    if not _without_note(patch):
        return {}
    return patch


def _patch(live: Any, wanted: Any, before: Any) -> Any:
    """Keys of `wanted` that differ in `live`, and null for keys only `before` and `live` have."""
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        current = live.get(key, FIELD_NOT_SET)
        if isinstance(value, dict) and isinstance(current, dict):
            earlier = before.get(key)
            inner = _patch(current, value, earlier if isinstance(earlier, dict) else {})
            if inner:
                patch[key] = inner
        elif not holds(current, value):
            patch[key] = value
    for key in before.keys() - wanted.keys():
        if live.get(key) is not None:
            patch[key] = _removal(live[key], before[key])
    return patch


def _removal(live: Any, before: Any) -> Any:
    """What takes away what we once set, and leaves what others put beside it."""
    if isinstance(live, dict) and isinstance(before, dict):
        return {key: _removal(live[key], value) for key, value in before.items() if key in live}
    return None


def _without_note(patch: Obj) -> Obj:
    """The patch without our own note: spelling a manifest differently changes nothing."""
    rest = {**patch}
    metadata = dict(rest.get("metadata") or {})
    annotations = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if k != LAST_APPLIED}
    if annotations:
        metadata["annotations"] = annotations
    rest.pop("metadata", None)
    return {**rest, "metadata": metadata} if metadata else rest


def holds(live: Any, wanted: Any) -> bool:
    """Whether `live` says what `wanted` says; what `wanted` leaves open (server defaults) may be there."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return all(holds(live.get(key, FIELD_NOT_SET), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(live, list):
        return len(live) == len(wanted) and all(map(holds, live, wanted))
    if live is FIELD_NOT_SET:
        return wanted is None or wanted in ({}, [])
    return bool(live == wanted)


def _cut(live: Any, patch: Any) -> Any:
    """The parts of `live` that `patch` touches, for a diff."""
    if not isinstance(patch, dict) or not isinstance(live, dict):
        return live
    return {key: _cut(live[key], value) for key, value in patch.items() if key in live}


def _essence(obj: Obj, kind: str) -> Obj:
    """An object, or a part of one, for a diff: no bookkeeping, no secret."""
    essence = _without_note(obj)
    if kind == "Secret":
        for key in essence.keys() & {"data", "stringData"}:
            essence[key] = dict.fromkeys(essence[key] or {}, "********")
    return essence


def _version(obj: Obj) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))


async def established(api: KubeApi, names: list[str], *, seconds: float, clock: Clock = SYSTEM) -> list[str]:
    """Wait until CRDs are served; the names of those that are not after that many seconds."""
    from edgelab.kube.resources import CRDS

    deadline = clock.monotonic() + seconds
    waiting = list(names)
    while True:
        waiting = [name for name in waiting if not _is_established(await api.get(CRDS, name))]
        if not waiting or clock.monotonic() >= deadline:
            return waiting
        await clock.sleep(0.1)


def _is_established(crd: Obj) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
