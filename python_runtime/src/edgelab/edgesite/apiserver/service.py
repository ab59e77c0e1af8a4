"""The API's verbs with their subresources, independent of HTTP."""

from __future__ import annotations

from typing import Any, Protocol

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import binding, boundobjects, codec, objectmeta, scale, tokenrequests
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.eviction import CREATED, Eviction
from edgelab.edgesite.apiserver.invalid import invalid
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.patching import Patcher
from edgelab.edgesite.apiserver.reads import Reader
from edgelab.edgesite.apiserver.refusals import no_such_path, not_allowed
from edgelab.edgesite.apiserver.registry import Change, Registry
from edgelab.edgesite.apiserver.subkinds import OTHERS, Subkinds
from edgelab.kube.interface import PatchType
from edgelab.objects.status import ApiError, not_found

Obj = dict[str, Any]

IN_PLACE = ("status", "finalize", "approval", "ephemeralcontainers", "resize")


class TokenIssuer(Protocol):
    """Who signs tokens of service accounts."""

    def request(self, account: Obj, body: Obj, bound: Obj) -> Obj:
        """The answer to a TokenRequest, bound to what `boundobjects.claim` gave."""
        ...


class ApiService:
    """Everything that can be done to objects; the callers (HTTP, LocalApi) have checked who may."""

    def __init__(self, registry: Registry, reader: Reader, tokens: TokenIssuer, clock: Clock) -> None:
        self.registry = registry
        self.reader = reader
        self.patcher = Patcher(registry, clock)
        self.subkinds = Subkinds(registry.kinds.catalogue)
        self._tokens = tokens
        self._eviction = Eviction(registry, clock)
        self._clock = clock

    def _known(self, kind: Kind, subresource: str, name: str) -> None:
        if subresource not in kind.subresources and kind.custom is not None:
            raise not_found(kind.plural, name, kind.group)
        if subresource not in kind.subresources:
            raise no_such_path()

    def read_sub(self, target: Target) -> bytes:
        """A subresource, encoded."""
        kind = target.kind
        self._known(kind, target.subresource, target.name)
        if target.subresource in OTHERS and target.subresource != "scale":
            raise not_allowed()
        entry = self.registry.get(kind, target.namespace, target.name)
        data = codec.convert(entry.data, kind)
        if target.subresource == "scale":
            return codec.encode(scale.read(kind, codec.decode(data), strict=True))
        if target.subresource in IN_PLACE:
            return data
        raise not_allowed()

    async def update(self, target: Target, body: Any, context: Context) -> bytes:
        """Replace an object or a subresource; the new object or subresource, encoded."""
        kind, namespace, name, subresource = target
        if subresource:
            self._known(kind, subresource, name)
        if subresource == "scale":
            wanted = self._decoded(target, body, context)
            objectmeta.check_name(wanted["metadata"], name)
            objectmeta.check_namespace(wanted["metadata"], kind, namespace)
            return await self._scale(target, lambda old: wanted, context)
        entry = await self.registry.update(kind, namespace, name, body, context, subresource=subresource)
        return codec.convert(entry.data, kind)

    async def patch(self, target: Target, body: Any, patch_type: PatchType, context: Context) -> bytes:
        """Patch an object or a subresource; the new object or subresource, encoded."""
        if target.subresource:
            self._known(target.kind, target.subresource, target.name)
        if target.subresource == "scale":
            kind = self.subkinds.of(target.kind, "scale")
            if patch_type is PatchType.APPLY:
                entry = await self.patcher.apply_scale(target, kind, body, context)
                return codec.encode(
                    scale.read(target.kind, codec.decode(codec.convert(entry.data, target.kind)))
                )
            return await self._scale(
                target, lambda old: self.patcher.patched(kind, old, body, patch_type, context), context
            )
        entry = await self.patcher.patch(target, body, patch_type, context)
        return codec.convert(entry.data, target.kind)

    async def _scale(self, target: Target, change: Change, context: Context) -> bytes:
        kind = target.kind

        def apply(old: Obj) -> Obj:
            wanted = change(scale.read(kind, old))
            causes = scale.problems(wanted) if kind.custom is None else []
            if causes:
                raise invalid("Scale", "autoscaling", target.name, causes)
            return scale.write(kind, old, wanted)

        context.part = "scale"
        entry = await self.registry.change(kind, target.namespace, target.name, apply, context)
        return codec.encode(scale.read(kind, codec.decode(codec.convert(entry.data, kind))))

    def _decoded(self, target: Target, body: Any, context: Context) -> Obj:
        """What is sent to a subresource, decoded. Raises ApiError 400."""
        kind, kinds = self.subkinds.of(target.kind, target.subresource), self.registry.kinds
        return codec.conform(kind, codec.check_type(kind, body, kinds), kinds, context)

    async def create_sub(self, target: Target, body: Any, context: Context) -> Obj:
        """POST to a subresource: binding, eviction, token."""
        kind, namespace, name, subresource = target
        self._known(kind, subresource, name)
        if subresource not in OTHERS or subresource == "scale":
            raise not_allowed()
        body = self._decoded(target, body, context)
        if subresource == "token":
            self.registry.admission.connect(target, body, context)
            account = codec.decode(self.registry.get(kind, namespace, name).data)
            body = tokenrequests.checked(body, account, namespace)
            bound = boundobjects.claim(self.registry, account, body["spec"].get("boundObjectRef"))
            return self._tokens.request(account, body, bound)
        if subresource == "eviction":
            self.registry.admission.connect(target, body, context)
            return await self._eviction.evict(target, body, context)
        if (body["metadata"].get("name") or "") != name:
            raise ApiError(400, "name in URL does not match name in Binding object")
        return await self.bind(target, body, context)

    async def bind(self, target: Target, body: Obj, context: Context) -> Obj:
        """Assign a pod to a node (`pkg/registry/core/pod/storage`)."""
        self.registry.admission.connect(target, body, context)
        name, aim = target.name, body.get("target") or {}
        node = aim.get("name") or ""
        if aim.get("kind") not in (None, "", "Node"):
            text = f'target.kind: Unsupported value: "{aim["kind"]}": supported values: "Node", "<empty>"'
            raise ApiError(500, text, reason="")
        if not node:
            raise ApiError(500, "target.name: Required value", reason="")
        if not name:
            raise ApiError(400, "Name parameter required.")
        key = self.registry.key(target.kind, target.namespace, name)
        pod = self.registry.current(target.kind, target.namespace, name)
        new = binding.assigned(target.kind, key, pod, body, self._clock.now())
        await self.registry.put(target.kind, key, new, context)
        return dict(CREATED)
