"""PATCH: the four content types on the registry."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import codec, gojson, gotypes, objectmeta, scale
from edgelab.edgesite.apiserver.apply import FieldManager
from edgelab.edgesite.apiserver.conform import DecodeError
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.custom import golang
from edgelab.edgesite.apiserver.invalid import bad, invalid
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.store import Entry
from edgelab.kube.interface import PatchType
from edgelab.objects.patch import (
    PatchError,
    json_patch,
    merge_patch,
    not_an_object,
    show,
    strategic_merge_patch,
)
from edgelab.objects.status import ApiError, conflict, not_found

Obj = dict[str, Any]

PARSE_ERROR = "couldn't get version/kind; json parse error: "
MAX_OPERATIONS = 10_000


class Patcher:
    """Patches objects in a registry."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def patched(self, kind: Kind, old: Obj, patch: Any, patch_type: PatchType, context: Context) -> Obj:
        """What a patch makes of an object, decoded. Raises ApiError."""
        try:
            result = _merged(kind, old, patch, patch_type)
        except PatchError as error:
            raise _refused(patch_type, error) from error
        strategic = patch_type is PatchType.STRATEGIC
        try:
            _check_named(result, strategic=strategic)
            kinds = self._registry.kinds
            typed = codec.typed(kind, result, kinds)
            return codec.fitting(kind, typed, kinds, context, unstructured=strategic)
        except (codec.WrongType, DecodeError) as error:
            shown = show(patch) if strategic else codec.encode(result).decode()
            raise invalid("", "", "", [bad("patch", shown, str(error))]) from error

    def patch(self, target: Target, patch: Any, patch_type: PatchType, context: Context) -> Awaitable[Entry]:
        """Patch an object; an apply creates it when it is absent."""
        kind, namespace, name, subresource = target
        if patch_type is PatchType.APPLY:
            return self._apply(target, patch, context)

        def change(old: Obj) -> Obj:
            return self.patched(kind, old, patch, patch_type, context)

        return self._registry.patch(kind, namespace, name, change, context, subresource=subresource)

    def apply_scale(self, target: Target, kind: Kind, config: Any, context: Context) -> Awaitable[Entry]:
        """Apply a Scale (of `kind`): what it says of the replicas is its applier's."""
        found = _checked(kind, config, context)
        causes = scale.problems(found)
        if causes:
            raise invalid("Scale", "autoscaling", target.name, causes)
        manager = FieldManager(target.kind, self._registry.kinds.catalogue.object_meta, self._clock)

        def change(old: Obj) -> Obj:
            return manager.apply(old, scale.configuration(target.kind, found), context, "scale")

        return self._registry.patch(target.kind, target.namespace, target.name, change, context, applied=True)

    def _apply(self, target: Target, config: Any, context: Context) -> Awaitable[Entry]:
        kind, namespace, name, subresource = target
        config = _of_part(kind, _checked(kind, config, context), subresource)
        metadata = config["metadata"] = dict(_metadata(kind, config))
        manager = FieldManager(kind, self._registry.kinds.catalogue.object_meta, self._clock)
        if self._registry.store.head(self._registry.key(kind, namespace, name)) is None:
            if subresource:
                raise not_found(kind.plural, name, kind.group)
            if metadata.get("uid"):
                text = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing"
                raise conflict(kind.plural, name, f"{text} object was found", kind.group)
            created = manager.apply({"metadata": {}}, config, context)
            objectmeta.check_name(created["metadata"], name)
            managed = created["metadata"]["managedFields"]
            return self._registry.create(kind, namespace, created, context, managed=managed)

        def change(old: Obj) -> Obj:
            new = manager.apply(old, config, context, subresource)
            try:
                return codec.fitting(kind, new, self._registry.kinds, context)
            except DecodeError as error:
                raise ApiError(500, str(error), reason="") from error

        return self._registry.patch(
            kind, namespace, name, change, context, subresource=subresource, applied=True
        )


def _check_named(result: Any, *, strategic: bool) -> None:
    """Whether apiVersion and kind are still texts. Raises DecodeError."""
    for field in ("apiVersion", "kind") if isinstance(result, dict) else ():
        found = result.get(field)
        if strategic and found is not None and not isinstance(found, str):
            raise DecodeError(gotypes.not_restored(found, "string"))
    try:
        gojson.find_kind(result if isinstance(result, dict) else None)
    except gojson.JsonError as error:
        raise DecodeError(f"{PARSE_ERROR}{error}") from error


def _metadata(kind: Kind, config: Obj) -> Obj:
    """The metadata of a configuration. Raises ApiError 500 when it is none."""
    found = config.get("metadata") or {}
    if not isinstance(found, dict):
        what = f"{kind.group}/{kind.resource.version}, Kind={kind.name}"
        text = f"failed to create typed patch object (/; {what}): .metadata: expected map, got &{{{found}}}"
        raise ApiError(500, text, reason="")
    return found


def _text(found: Obj, field: str) -> str:
    return found[field] if isinstance(found.get(field), str) else ""


def _checked(kind: Kind, config: Any, context: Context) -> Obj:
    """A configuration that is of the kind. Raises ApiError 400."""
    if config is not None and not isinstance(config, dict):
        text = f"error unmarshaling JSON: while decoding JSON: {not_an_object(config)}"
        raise ApiError(400, f"error decoding YAML: {text}")
    found: Obj = config or {}
    version, name = (_text(found, field) for field in ("apiVersion", "kind"))
    if (version, name) != (kind.api_version, kind.name):
        group, _, number = version.rpartition("/")
        if version.count("/") > 1:
            group = number = name = ""
        raise ApiError(400, f"invalid object type: {group}/{number}, Kind={name}")
    repeated, context.repeated = context.repeated, []
    if repeated and context.field_validation == "Strict":
        text = "yaml: unmarshal errors:\n  " + "\n  ".join(repeated)
        raise ApiError(400, f"error strict decoding YAML: error converting YAML to JSON: {text}")
    if context.field_validation == "Warn":
        context.warnings += repeated
    if not isinstance(found.get("metadata") or {}, dict):
        what = f"{kind.group}/{kind.resource.version}, Kind={kind.name}"
        text = f".metadata: expected map, got &{{{golang.shown(found['metadata'])}}}"
        raise ApiError(500, f"failed to create typed patch object (/; {what}): {text}", reason="")
    return found


def _of_part(kind: Kind, config: Obj, subresource: str) -> Obj:
    """What of a configuration counts: without the status, or only that."""
    if subresource == "status":
        metadata = config.get("metadata") or {}
        kept = {
            key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata
        }
        return {key: config[key] for key in ("apiVersion", "kind", "status") if key in config} | {
            "metadata": kept
        }
    if "status" in kind.subresources:
        return {key: value for key, value in config.items() if key != "status"}
    return dict(config)


def _merged(kind: Kind, old: Obj, patch: Any, patch_type: PatchType) -> Any:
    if patch_type is PatchType.JSON:
        if isinstance(patch, list) and len(patch) > MAX_OPERATIONS:
            text = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
            raise ApiError(413, f"Request entity too large: {text}")
        return json_patch(old, patch)
    if patch_type is PatchType.STRATEGIC:
        return strategic_merge_patch(old, {} if patch is None else patch, kind.schema)
    if patch is None:
        raise ApiError(400, "Invalid JSON Patch")
    if not isinstance(patch, dict):
        raise PatchError(not_an_object(patch), malformed=True)
    return merge_patch(old, patch)


def unsupported_media(kind: Kind) -> ApiError:
    """415 with the types that the kind accepts."""
    accepted = [str(item) for item in PatchType if kind.custom is None or item is not PatchType.STRATEGIC]
    return ApiError(
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted),
    )


def _refused(patch_type: PatchType, error: PatchError) -> ApiError:
    if patch_type is PatchType.STRATEGIC:
        return ApiError(400, str(error)) if error.malformed else ApiError(500, str(error), reason="")
    if error.malformed:
        return ApiError(400, f"error decoding patch: {error}")
    text = "the server rejected our request due to an error in our request"
    return ApiError(422, text, reason="Invalid", details={})
