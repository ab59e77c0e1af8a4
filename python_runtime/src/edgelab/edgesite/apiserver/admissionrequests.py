"""A request under admission, as webhooks and policies see it (`admission.Attributes`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from edgelab.edgesite.apiserver import codec, scale
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.subkinds import Subkinds

Obj = dict[str, Any]

OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


@dataclass(frozen=True, slots=True)
class Operation:
    """What is asked for; the new object is given with each call, for it changes.

    `name` is empty for a name that is generated. A namespace is in itself. `sub` is the kind of what
    is sent to a subresource that is not the resource's own: Scale, Eviction, Binding, TokenRequest.
    """

    kind: Kind
    namespace: str
    name: str
    verb: str
    context: Context
    old: Obj | None = None
    subresource: str = ""
    sub: Kind | None = None

    @property
    def options(self) -> Obj:
        """CreateOptions and the like."""
        found: Obj = {"kind": OPTIONS[self.verb], "apiVersion": "meta.k8s.io/v1", **self.context.options}
        if self.context.dry_run:
            found["dryRun"] = ["All"]
        return found

    @property
    def is_namespace(self) -> bool:
        """Whether it is about a Namespace."""
        return is_namespace(self.kind)

    def request(self, kind: Kind) -> Obj:
        """An AdmissionRequest for those who want to see the object as `kind`; without the objects."""
        user = self.context.user
        info: Obj = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
        found: Obj = {
            "kind": _named(self.sub or kind),
            "resource": _named(kind, "resource"),
            "requestKind": _named(self.sub or self.kind),
            "requestResource": _named(self.kind, "resource"),
            "name": self.name,
            "namespace": self.namespace,
            "operation": self.verb,
            "userInfo": {field: value for field, value in info.items() if value},
            "dryRun": self.context.dry_run,
            "options": self.options,
        }
        if user.extra:
            found["userInfo"]["extra"] = {key: list(values) for key, values in user.extra}
        if self.subresource:
            found["subResource"] = found["requestSubResource"] = self.subresource
        return {field: value for field, value in found.items() if value != ""}

    def shown(self, obj: Obj | None, kind: Kind) -> Obj | None:
        """An object in the version that somebody wants to see."""
        if obj is None or self.sub is not None or obj.get("apiVersion") == kind.api_version:
            return obj
        converted = codec.decode(codec.convert(codec.encode(obj), kind))
        return {**converted, "apiVersion": kind.api_version}


def is_namespace(kind: Kind) -> bool:
    """Namespaces are special: each is in itself."""
    return kind.group == "" and kind.name == "Namespace"


def creation(kind: Kind, obj: Obj, context: Context) -> Operation:
    """Of a new object."""
    metadata = obj["metadata"]
    name = "" if context.nameless else metadata.get("name") or ""
    namespace = metadata.get("namespace") or (name if is_namespace(kind) else "")
    return Operation(kind, namespace, name, "CREATE", context)


def change(kind: Kind, verb: str, old: Obj, context: Context, subresource: str = "") -> Operation:
    """Of an object that is there."""
    name = old["metadata"]["name"]
    namespace = old["metadata"].get("namespace") or (name if is_namespace(kind) else "")
    name = "" if context.nameless else name
    return Operation(kind, namespace, name, verb, context, old, subresource)


def scaling(kind: Kind, new: Obj, old: Obj, context: Context, subkinds: Subkinds) -> tuple[Operation, Obj]:
    """Of the scale of an object."""
    asked = change(kind, "UPDATE", old, context, "scale")
    return (
        replace(asked, old=scale.read(kind, old), sub=subkinds.of(kind, "scale")),
        scale.read(kind, new),
    )


def connection(target: Target, context: Context, subkinds: Subkinds) -> Operation:
    """Of what is posted to a subresource that is no part of the object."""
    kind, namespace, name, subresource = target
    sub = subkinds.of(kind, subresource)
    return Operation(kind, namespace, name, "CREATE", context, None, subresource, sub)


def _named(kind: Kind, what: str = "kind") -> Obj:
    name = kind.name if what == "kind" else kind.plural
    return {"group": kind.group, "version": kind.resource.version, what: name}
