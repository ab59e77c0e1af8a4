"""PATCH: the four content types on the registry."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import codec, objectmeta
from edgelab.edgesite.apiserver.apply import Applier
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.invalid import invalid, required
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.store import Entry
from edgelab.kube.interface import PatchType
from edgelab.objects.patch import PatchError, json_patch, merge_patch, strategic_merge_patch
from edgelab.objects.status import ApiError, conflict

Obj = dict[str, Any]


class Patcher:
    """Patches objects in a registry."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def applier(self, kind: Kind) -> Applier:
        """The server-side apply of a kind."""
        return Applier(kind, self._registry.kinds.catalogue.object_meta, self._clock)

    def patched(self, kind: Kind, old: Obj, patch: Any, patch_type: PatchType) -> Obj:
        """What a patch makes of an object. Raises ApiError."""
        try:
            if patch_type is PatchType.JSON:
                result = json_patch(old, patch)
            elif patch_type is PatchType.MERGE:
                result = merge_patch(old, patch)
            else:
                result = strategic_merge_patch(old, patch, kind.schema)
        except PatchError as error:
            raise _refused(kind, old, error) from error
        if not isinstance(result, dict):
            raise ApiError(400, "the patch does not leave an object")
        return {**result, "metadata": {**(result.get("metadata") or {})}}

    def patch(self, target: Target, patch: Any, patch_type: PatchType, context: Context) -> Awaitable[Entry]:
        """Patch an object; an apply creates it when it is absent."""
        kind, namespace, name, subresource = target
        if kind.custom is not None and patch_type is PatchType.STRATEGIC:
            raise unsupported_media(kind)
        if patch_type is PatchType.APPLY:
            return self._apply(target, patch, context)

        def change(old: Obj) -> Obj:
            new = self.patched(kind, old, patch, patch_type)
            if new["metadata"].get("name") != name:
                given = new["metadata"].get("name") or ""
                raise ApiError(
                    400, f"the name of the object ({given}) does not match the name on the URL ({name})"
                )
            objectmeta.check_namespace(new["metadata"], kind, namespace)
            if old["metadata"].get("managedFields"):
                self.applier(kind).updated(new, old, context, subresource)
            return new

        return self._registry.change(kind, namespace, name, change, context, subresource=subresource)

    def _apply(self, target: Target, config: Any, context: Context) -> Awaitable[Entry]:
        if not context.field_manager:
            cause = required("fieldManager", "is required for apply patch")
            raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
        kind, namespace, name, subresource = target
        config = codec.check_type(kind, config, self._registry.kinds)
        metadata = config["metadata"] = dict(config["metadata"])
        if metadata.setdefault("name", name) != name:
            raise ApiError(
                400,
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})",
            )
        applier = self.applier(kind)
        if self._registry.store.head(self._registry.key(kind, namespace, name)) is None:
            if metadata.get("uid") or metadata.get("resourceVersion"):
                raise conflict(kind.plural, name, "the object does not exist", kind.group)
            created = applier.apply({"metadata": {}}, config, context)
            return self._create(kind, namespace, created, context)
        return self._registry.change(
            kind,
            namespace,
            name,
            lambda old: applier.apply(old, config, context, subresource),
            context,
            subresource=subresource,
        )

    def _create(self, kind: Kind, namespace: str, obj: Obj, context: Context) -> Awaitable[Entry]:
        return self._registry.create(kind, namespace, obj, context, managed=obj["metadata"]["managedFields"])


def unsupported_media(kind: Kind) -> ApiError:
    """415 with the types that the kind accepts."""
    accepted = [str(item) for item in PatchType if kind.custom is None or item is not PatchType.STRATEGIC]
    return ApiError(
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted),
    )


def _refused(kind: Kind, old: Obj, error: PatchError) -> ApiError:
    if error.malformed:
        return ApiError(400, f"error decoding patch: {error}")
    details = {
        "name": old["metadata"]["name"],
        **({"group": kind.group} if kind.group else {}),
        "kind": kind.plural,
        "causes": [{"reason": "UnexpectedServerResponse", "message": str(error)}],
    }
    text = "the server rejected our request due to an error in our request"
    return ApiError(422, text, reason="Invalid", details=details)
