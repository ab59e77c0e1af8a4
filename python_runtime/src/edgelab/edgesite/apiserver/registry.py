"""The verbs that write: create, update, patch, delete, on any kind.

Each is a read-modify-write against the newest version with no await in between, so it cannot
conflict with another one; the await is for the disk. Objects go in as dicts and come out as entries.
"""

from __future__ import annotations

import copy
from asyncio import Future
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import codec, encoding, objectmeta, validating
from edgelab.edgesite.apiserver.authorization import Authorizer
from edgelab.edgesite.apiserver.builtin import EVENTS_BUCKET
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.custom import conversion, objects
from edgelab.edgesite.apiserver.deletion import Deletion, ended, finished, plan
from edgelab.edgesite.apiserver.invalid import Cause, bad, invalid
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.managing import Managers
from edgelab.edgesite.apiserver.strategies import strategy_for
from edgelab.edgesite.apiserver.strategies.warnings import advice
from edgelab.edgesite.apiserver.strategy import Part
from edgelab.edgesite.apiserver.updates import Edit, check_deletion, content, exists, limit, wrong_uid
from edgelab.edgesite.store import Entry, Key, Store
from edgelab.objects.patch.json import same
from edgelab.objects.status import ApiError, conflict, not_found

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.hooked import HookedWrites

Obj = dict[str, Any]
Change = Callable[[Obj], Obj]

HOOKS = (
    "admissionregistration.k8s.io/mutatingwebhookconfigurations",
    "admissionregistration.k8s.io/validatingwebhookconfigurations",
)
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class Admission(Protocol):
    """What may change or refuse an object between decoding and validation."""

    authorizer: Authorizer

    def create(self, kind: Kind, obj: Obj, context: Context) -> None:
        """Look at a new object (with defaults)."""
        ...

    def update(self, kind: Kind, new: Obj, old: Obj, context: Context, subresource: str = "") -> None:
        """Look at a changed object."""
        ...

    def validate(
        self, kind: Kind, obj: Obj, old: Obj | None, context: Context, subresource: str = ""
    ) -> None:
        """Refuse an object that is valid: quotas, Pod Security."""
        ...

    def delete(self, kind: Kind, obj: Obj, context: Context) -> None:
        """Look at an object that is to be deleted."""
        ...

    def connect(self, target: Target, body: Obj, context: Context) -> None:
        """Look at what is posted to a subresource that is no part of the object."""
        ...


class Registry:
    """Objects of all kinds in one store. Everything raises ApiError."""

    def __init__(self, store: Store, kinds: Kinds, admission: Admission, clock: Clock) -> None:
        self.store = store
        self.kinds = kinds
        self.admission = admission
        self._clock = clock
        self._managers = Managers(kinds.catalogue.object_meta, clock)
        self._hooks: HookedWrites | None = None
        self.companions: dict[str, Callable[[Key, Obj | None], None]] = {}
        """By bucket, who writes something else in the same commit: told of an object, or None if it goes."""

    @staticmethod
    def key(kind: Kind, namespace: str, name: str) -> Key:
        """Where an object is stored."""
        return Key(kind.bucket, namespace if kind.resource.namespaced else "", name)

    def get(self, kind: Kind, namespace: str, name: str) -> Entry:
        """The committed version."""
        entry = self.store.get(self.key(kind, namespace, name))
        if entry is None:
            raise not_found(kind.plural, name, kind.group)
        return entry

    def current(self, kind: Kind, namespace: str, name: str) -> Obj:
        """The newest version, decoded, in the version of `kind`."""
        entry = self.store.head(self.key(kind, namespace, name))
        if entry is None:
            raise not_found(kind.plural, name, kind.group)
        return codec.decode(codec.convert(entry.data, kind))

    def create(
        self, kind: Kind, namespace: str, body: Any, context: Context, *, managed: list[Obj] | None = None
    ) -> Awaitable[Entry]:
        """Create an object of a served kind; `managed` is its managedFields if it is applied."""
        if kind.custom is not None and kind.custom.terminating:
            raise objects.terminating(kind, body)
        obj = codec.conform(kind, codec.check_type(kind, body, self.kinds), self.kinds, context)
        objectmeta.without_twice(obj["metadata"], context)
        obj = codec.hub(obj)
        given = obj["metadata"].get("resourceVersion") or ""
        context.nameless = not obj["metadata"].get("name")
        objectmeta.prepare_new(obj, kind, namespace, self._clock, counted=_is_counted(kind))
        if given not in ("", "0") and managed is None:
            obj["metadata"]["resourceVersion"] = given  # refused when everything else is right
        if kind.custom is None:
            strategy_for(kind.group, kind.name).default(obj)
        if _loses_status(kind):
            obj.pop("status", None)
        if managed is None:
            self._managers.created(kind, obj, context)
        elif managed:
            obj["metadata"]["managedFields"] = managed
        else:
            obj["metadata"].pop("managedFields", None)
        self.admission.create(kind, obj, context)
        if self._hooked():
            return self._with_hooks().create(kind, obj, context)
        self.check_new(kind, obj, context)
        return self.put_new(kind, obj, context)

    def complete_new(self, kind: Kind, obj: Obj, context: Context) -> None:
        """Defaults and admission once more, for what a webhook has changed."""
        if kind.custom is None:
            strategy_for(kind.group, kind.name).default(obj)
        self.admission.create(kind, obj, context)

    def check_new(self, kind: Kind, obj: Obj, context: Context) -> None:
        """The last touches to a new object, and whether it is valid and may be."""
        strategy = strategy_for(kind.group, kind.name)
        if kind.custom is None:
            strategy.on_create(obj)
        if _loses_status(kind):
            obj.pop("status", None)
            if kind.custom is None:
                obj["status"] = copy.deepcopy(dict(strategy.blank_status))
        self._check(kind, obj, self._problems(kind, obj, context))
        self._advise(kind, obj, None, context)
        self.admission.validate(kind, obj, None, context)

    def put_new(self, kind: Kind, obj: Obj, context: Context) -> Awaitable[Entry]:
        """Store a new object. Raises ApiError 409 when there is one of its name, 500 for a version."""
        key = self.key(kind, obj["metadata"].get("namespace") or "", obj["metadata"]["name"])
        if obj["metadata"].get("resourceVersion") and not context.dry_run:
            raise ApiError(500, "resourceVersion should not be set on objects to be created", reason="")
        present = self.store.head(key)
        if present is not None:
            raise exists(kind, key.name, codec.decode(present.data))
        return self._put(kind, key, obj, context)

    def _hooked(self) -> bool:
        """Whether any webhook is configured."""
        return any(next(self.store.entries(bucket), None) is not None for bucket in HOOKS)

    def _with_hooks(self) -> HookedWrites:
        if self._hooks is None:
            from edgelab.edgesite.apiserver.hooked import HookedWrites  # noqa: PLC0415 - rarely needed

            self._hooks = HookedWrites(self)
        return self._hooks

    @staticmethod
    def _problems(
        kind: Kind, obj: Obj, context: Context, old: Obj | None = None, subresource: str = ""
    ) -> list[Cause]:
        if kind.custom is not None:
            if subresource != "status":
                context.warnings += objects.warnings(obj, old)
            causes = objectmeta.validate_update(obj, old) if old is not None else []
            causes += objectmeta.validate(obj, kind)
            return causes + objects.problems(kind, obj, context, old, subresource)
        if old is None:
            return validating.created(kind, obj)
        return validating.changed(kind, obj, old, subresource)

    @staticmethod
    def _advise(kind: Kind, obj: Obj, old: Obj | None, context: Context) -> None:
        if kind.custom is None:
            context.warnings += strategy_for(kind.group, kind.name).warnings(obj, old)
            context.warnings += advice(kind.group, kind.name, obj, old)

    def _check(self, kind: Kind, obj: Obj, causes: list[Cause]) -> None:
        if causes:
            group = "" if kind.bucket == EVENTS_BUCKET else kind.group
            raise invalid(kind.name, group, obj["metadata"].get("name") or "", causes)

    def update(
        self, kind: Kind, namespace: str, name: str, body: Any, context: Context, *, subresource: str = ""
    ) -> Awaitable[Entry]:
        """Replace an object (or what its subresource covers)."""
        obj = codec.check_type(kind, body, self.kinds)
        obj = codec.conform(kind, obj, self.kinds, context)
        objectmeta.check_name(obj["metadata"], name)
        objectmeta.check_namespace(obj["metadata"], kind, namespace)
        absent = self.store.head(self.key(kind, namespace, name)) is None
        if absent and strategy_for(kind.group, kind.name).creates_on_update and not subresource:
            obj["metadata"].pop("resourceVersion", None)
            return self.create(kind, namespace, obj, context)
        unconditional = kind.custom is None and strategy_for(kind.group, kind.name).unconditional
        if not unconditional and not obj["metadata"].get("resourceVersion"):
            self.current(kind, namespace, name)
            text = "must be specified for an update"
            raise invalid(kind.plural, kind.group, name, [bad("metadata.resourceVersion", 0, text)])
        edit = Edit(lambda old: obj, subresource)
        return self._change(kind, self.key(kind, namespace, name), edit, context)

    def change(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        context: Context,
        *,
        subresource: str = "",
    ) -> Awaitable[Entry]:
        """Put in place what `change` makes of the present object."""

        def decoded(old: Obj) -> Obj:
            obj = codec.check_type(kind, change(old), self.kinds)
            return codec.conform(kind, obj, self.kinds, context)

        return self._change(kind, self.key(kind, namespace, name), Edit(decoded, subresource), context)

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        context: Context,
        *,
        subresource: str = "",
        applied: bool = False,
    ) -> Awaitable[Entry]:
        """The same for a `change` whose answer is decoded already, and which may not change the name.
        With `applied` it has its managers already.
        """

        def named(old: Obj) -> Obj:
            obj = change(old)
            objectmeta.check_name(obj["metadata"], name)
            objectmeta.check_namespace(obj["metadata"], kind, namespace)
            return obj

        edit = Edit(named, subresource, patched=True, applied=applied)
        return self._change(kind, self.key(kind, namespace, name), edit, context)

    def _change(self, kind: Kind, key: Key, edit: Edit, context: Context) -> Awaitable[Entry]:
        if self._hooked():
            return self._with_hooks().change(kind, key, edit, context)
        new, old = self.prepare_change(kind, key, edit, context)
        self.check_change(kind, new, old, context, edit.subresource)
        return self.replace(kind, key, new, old, context)

    def prepare_change(self, kind: Kind, key: Key, edit: Edit, context: Context) -> tuple[Obj, Obj]:
        """The object as it is to be, with defaults and admission, and as it is."""
        old = self.current(kind, key.namespace, key.name)
        new = edit.make(old)
        objectmeta.without_twice(new["metadata"], context)
        if edit.patched:
            self._check(kind, new, objectmeta.validate_uid(new, old))
        self._preconditions(kind, key, new["metadata"], old)
        new, old = codec.hub(new), codec.hub(old)
        new = limit(kind, new, old, edit.subresource)
        objectmeta.carry_over(new, old)
        if kind.custom is None:
            strategy_for(kind.group, kind.name).default(new)
        if not edit.applied:
            self._managers.updated(kind, new, old, context, edit.subresource)
        elif not new["metadata"].get("managedFields"):
            new["metadata"].pop("managedFields", None)
        self.admission.update(kind, new, old, context, edit.subresource)
        return new, old

    def complete_change(self, kind: Kind, new: Obj, old: Obj, context: Context, subresource: str) -> None:
        """Defaults and admission once more, for what a webhook has changed."""
        if kind.custom is None:
            strategy_for(kind.group, kind.name).default(new)
        self.admission.update(kind, new, old, context, subresource)

    def check_change(self, kind: Kind, new: Obj, old: Obj, context: Context, subresource: str) -> None:
        """The last touches to a changed object, and whether it is valid and may be."""
        if kind.custom is None:
            strategy = strategy_for(kind.group, kind.name)
            part = strategy.parts.get(subresource)
            (strategy.on_update if not subresource else (part or Part()).on_update)(new, old)
        causes = self._problems(kind, new, context, old, subresource)
        self._check(kind, new, causes)
        if not subresource:
            self._advise(kind, new, old, context)
        self.admission.validate(kind, new, old, context, subresource)

    def _preconditions(self, kind: Kind, key: Key, metadata: Obj, old: Obj) -> None:
        theirs, uid = old["metadata"], metadata.get("uid")
        if uid and uid != theirs["uid"]:
            raise conflict(kind.plural, key.name, wrong_uid(kind, key, uid, theirs["uid"]), kind.group)
        version = metadata.get("resourceVersion")
        if version and version != "0" and version != theirs["resourceVersion"]:
            raise conflict(kind.plural, key.name, MODIFIED, kind.group)

    async def replace(self, kind: Kind, key: Key, new: Obj, old: Obj, context: Context) -> Entry:
        """Store a changed object, or remove it when it waited only for this."""
        if finished(kind, new):
            return await self._remove(kind, key, new, context)
        entry = self.store.head(key)
        if entry is not None and new == old and same(new, old):  # most differ, and `==` finds it sooner
            return await self._settled(key, entry)
        if _is_counted(kind) and content(kind, new) != content(kind, old):
            new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1
        return await self._put(kind, key, new, context)

    async def _settled(self, key: Key, entry: Entry) -> Entry:
        """A change that changes nothing still answers only with what is durable."""
        if self.store.get(key) is not entry:
            await self.store.settled()
        return entry

    def prepare(self, kind: Kind, namespace: str, name: str) -> Awaitable[None]:
        """Make an object readable that somebody else has to convert. Raises ApiError 500."""
        return conversion.prepare_at(self.store, kind, self.key(kind, namespace, name))

    def put(self, kind: Kind, key: Key, obj: Obj, context: Context) -> Awaitable[Entry]:
        """Store an object as it is, with no more checks: what the server itself changes."""
        return self._put(kind, key, obj, context)

    def _put(self, kind: Kind, key: Key, obj: Obj, context: Context) -> Awaitable[Entry]:
        if context.hollow and kind.custom is None and kind.schema is not None:
            encoding.settle(obj, kind.schema)
        if conversion.is_converted(kind):
            return conversion.put(self.store, kind, key, obj, lambda o: self._put_stored(key, o, context))
        return self._put_stored(key, codec.to_storage(obj, kind), context)

    def _put_stored(self, key: Key, stored: Obj, context: Context) -> Awaitable[Entry]:
        if context.dry_run:
            return _ready(Entry(key, self.store.revision, codec.encode(stored)))
        if key.bucket in self.companions:
            self.companions[key.bucket](key, stored)
        return self.store.put(key, _encoder(stored))

    def _remove(self, kind: Kind, key: Key, obj: Obj, context: Context) -> Awaitable[Entry]:
        stored = codec.to_storage(obj, kind)
        if context.dry_run:
            return _ready(Entry(key, self.store.revision, codec.encode(stored)))
        if key.bucket in self.companions:
            self.companions[key.bucket](key, None)
        return self.store.delete(key, _encoder(stored))

    def put_own(self, kind: Kind, obj: Obj) -> Future[Entry]:
        """Store a new object of the server's own, which nobody has to check."""
        objectmeta.prepare_new(obj, kind, "", self._clock, counted=_is_counted(kind))
        self._managers.created(kind, obj, Context(field_manager="kube-apiserver"))
        return self.store.put(self.key(kind, "", obj["metadata"]["name"]), _encoder(obj))

    def drop_own(self, kind: Kind, entry: Entry) -> Future[Entry]:
        """Remove an object of the server's own."""
        return self.store.delete(entry.key, _encoder(codec.to_storage(codec.decode(entry.data), kind)))

    async def delete(
        self, kind: Kind, namespace: str, name: str, options: Obj, context: Context
    ) -> tuple[Entry, bool]:
        """Delete or begin to; the object as it is now, and whether it is gone."""
        key = self.key(kind, namespace, name)
        if self._hooked():
            await self._with_hooks().before_delete(kind, namespace, name, context)
        old = self.current(kind, namespace, name)
        check_deletion(kind, key.name, options.get("preconditions") or {}, old)
        self.admission.delete(kind, old, context)
        step = plan(kind, old, options, self._clock.now())
        if step is Deletion.NOW:
            return await self._remove(kind, key, ended(kind, old, self._clock.now()), context), True
        if step is Deletion.UNCHANGED:
            entry = self.store.head(key)
            assert entry is not None
            return await self._settled(key, entry), False
        return await self._put(kind, key, step, context), False


def _is_counted(kind: Kind) -> bool:
    return kind.custom is not None or strategy_for(kind.group, kind.name).has_generation


def _loses_status(kind: Kind) -> bool:
    """Whether a new object's status is not what its creator says."""
    return "status" in kind.subresources and not strategy_for(kind.group, kind.name).keeps_status_on_create


def _encoder(stored: Obj) -> Callable[[int], bytes]:
    def encode(revision: int) -> bytes:
        stored["metadata"]["resourceVersion"] = str(revision)
        return codec.encode(stored)

    return encode


async def _ready(entry: Entry) -> Entry:
    return entry
