"""HTTP on resources: each method of a path becomes a verb of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from edgelab.edgesite.apiserver import codec, connecting, listoptions, writing
from edgelab.edgesite.apiserver.accept import Wanted
from edgelab.edgesite.apiserver.bodies import Bodies
from edgelab.edgesite.apiserver.computed import Computed
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.custom import conversion
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.options import deletion_options
from edgelab.edgesite.apiserver.patching import unsupported_media
from edgelab.edgesite.apiserver.presenting import Presenter
from edgelab.edgesite.apiserver.reads import Filter, parse_filter
from edgelab.edgesite.apiserver.refusals import no_such_path, not_allowed
from edgelab.edgesite.apiserver.request import RELAYED, ResourcePath, flag, number
from edgelab.edgesite.apiserver.reviews import Reviews
from edgelab.edgesite.apiserver.service import ApiService
from edgelab.edgesite.apiserver.watching import Watcher
from edgelab.kube.interface import PatchType
from edgelab.objects.status import ApiError, not_found

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.relay.connections import Relay

Obj = dict[str, Any]


class ResourceHandler:
    """Serves one request on a known kind."""

    def __init__(
        self,
        service: ApiService,
        reviews: Reviews,
        presenter: Presenter,
        make_relay: connecting.MakeRelay,
        computed: Mapping[tuple[str, str], Computed],
    ) -> None:
        """`computed`: who answers for the kinds that are not stored, by group and kind."""
        self._service = service
        self._make_relay = make_relay
        self._relay: Relay | None = None
        self._reviews = reviews
        self._presenter = presenter
        self._bodies = Bodies(service.registry.kinds.catalogue)
        self._watcher = Watcher(service.reader, presenter)
        self._computed = computed

    async def serve(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context, wanted: Wanted
    ) -> web.StreamResponse:
        """Answer, or raise ApiError."""
        if not {"create", "list"} <= set(kind.verbs):
            return await self._unstored(request, kind, path, context, wanted)
        if path.name and conversion.is_converted(kind):
            await request.read()  # nothing may be waited for between the preparation and the use
            await self._service.registry.prepare(kind, path.namespace, path.name)
        if path.name and not path.watched:
            return await self._on_object(request, kind, path, context, wanted)
        if request.method == "GET":
            if path.watched or flag(request.query, "watch"):
                return await self._watch(request, kind, path, wanted)
            return await self._list(request, kind, path.namespace, wanted)
        if request.method == "POST":
            return await self._create(request, kind, path, context, wanted)
        if request.method != "DELETE" or not self._deletes_many(kind, path):
            raise not_allowed()
        return await self._delete_collection(request, kind, path, context, wanted)

    def stop(self) -> None:
        """End what does not end by itself."""
        if self._relay is not None:
            self._relay.stop()

    @staticmethod
    def _deletes_many(kind: Kind, path: ResourcePath) -> bool:
        """A collection is that of a namespace, and not every kind can be deleted so."""
        return "deletecollection" in kind.verbs and bool(path.namespace) == kind.resource.namespaced

    async def _unstored(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context, wanted: Wanted
    ) -> web.Response:
        """What is only asked, or only told."""
        if kind.verbs == ("create",):
            return await self._review(request, kind, path, context)
        answer = await self._computed[kind.group, kind.name].answer(request, kind, path, wanted)
        return respond(answer, 200, context)

    async def _review(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context
    ) -> web.Response:
        if path.name:
            raise no_such_path()
        if request.method != "POST":
            raise not_allowed()
        writing.read(request, context)
        kinds = self._service.registry.kinds
        body = await self._bodies.object(request, kind, context)
        body = codec.conform(kind, codec.check_type(kind, body, kinds), kinds, context)
        if kind.name == "Binding":
            pods = kinds.find("", "v1", "pods")
            assert pods is not None
            answer = await self._service.bind(
                Target(pods, path.namespace, body["metadata"].get("name") or ""), body, context
            )
        else:
            answer = self._reviews.answer(kind.name, path.namespace, body, context.user)
        return respond(codec.encode(answer), 201, context)

    def _of(self, kind: Kind, path: ResourcePath) -> Kind:
        """The kind of what is sent to a path."""
        return self._service.subkinds.of(kind, path.subresource)

    async def _on_object(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context, wanted: Wanted
    ) -> web.StreamResponse:
        if path.subresource in RELAYED and path.subresource in kind.subresources:
            self._relay = self._relay or self._make_relay()
            return await self._relay.serve(request, _target(kind, path), path, context)
        unknown = path.subresource not in ("", *kind.subresources)
        if kind.custom is None and (path.rest or (unknown and request.method == "DELETE")):
            raise no_such_path()
        if request.method == "GET":
            return self._get(request, kind, path, wanted)
        writing.read(request, context)
        if request.method == "PUT":
            body = await self._bodies.object(request, self._of(kind, path), context)
            absent = self._absent(kind, path)
            data = await self._service.update(_target(kind, path), body, context)
            shown = self._presenter.one(kind, data, wanted, request.query)
            return respond(shown, 201 if absent else 200, context)
        if request.method == "PATCH":
            return await self._patch(request, kind, path, context, wanted)
        if request.method == "DELETE" and not path.subresource:
            return await self._delete(request, kind, path, context, wanted)
        if request.method == "POST" and path.subresource:
            body = await self._bodies.object(request, self._of(kind, path), context)
            answer = await self._service.create_sub(_target(kind, path), body, context)
            return respond(codec.encode(answer), 201, context)
        if path.subresource and path.subresource not in kind.subresources:
            raise no_such_path()
        raise not_allowed()

    def _absent(self, kind: Kind, path: ResourcePath) -> bool:
        """Whether a write to this path creates its object."""
        key = self._service.registry.key(kind, path.namespace, path.name)
        return self._service.registry.store.head(key) is None

    def _get(self, request: web.Request, kind: Kind, path: ResourcePath, wanted: Wanted) -> web.Response:
        version = request.query.get("resourceVersion", "")
        if version:
            self._service.reader.check(version)
        if path.subresource:
            data = self._service.read_sub(_target(kind, path))
            return respond(data, 200)
        entry = self._service.registry.get(kind, path.namespace, path.name)
        return respond(self._presenter.one(kind, codec.convert(entry.data, kind), wanted, request.query), 200)

    async def _create(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context, wanted: Wanted
    ) -> web.Response:
        if kind.resource.namespaced and not path.namespace:
            if kind.custom is not None:
                return web.Response(text="404 page not found\n", status=404)
            raise not_allowed()
        writing.read(request, context)
        body = await self._bodies.object(request, kind, context)
        entry = await self._service.registry.create(kind, path.namespace, body, context)
        data = codec.convert(entry.data, kind)
        return respond(self._presenter.one(kind, data, wanted, request.query), 201, context)

    async def _patch(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context, wanted: Wanted
    ) -> web.Response:
        media = request.content_type
        if media not in set(PatchType):
            raise (
                unsupported_media(kind)
                if kind.custom is not None
                else ApiError(415, "415: Unsupported Media Type", details={})
            )
        patch_type = PatchType(media)
        absent = self._absent(kind, path)
        if kind.custom is not None and patch_type is PatchType.STRATEGIC:
            raise unsupported_media(kind)
        if absent and patch_type is not PatchType.APPLY:
            raise not_found(kind.plural, path.name, kind.group)
        body = await self._bodies.patch(request, patch_type, context)
        data = await self._service.patch(_target(kind, path), body, patch_type, context)
        return respond(
            self._presenter.one(kind, data, wanted, request.query), 201 if absent else 200, context
        )

    async def _delete(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context, wanted: Wanted
    ) -> web.Response:
        options = await self._delete_options(request, context)
        entry, gone = await self._service.registry.delete(kind, path.namespace, path.name, options, context)
        if not gone or self._presenter.returns_deleted(kind):
            code = 202 if not gone and options.get("orphanDependents") is False else 200
            data = codec.convert(entry.data, kind)
            return respond(self._presenter.one(kind, data, wanted, request.query), code)
        details: Obj = {
            "name": path.name,
            **({"group": kind.group} if kind.group else {}),
            "kind": kind.plural,
        }
        details["uid"] = codec.decode(entry.data)["metadata"]["uid"]
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }
        return respond(codec.encode(status), 200)

    async def _delete_collection(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context, wanted: Wanted
    ) -> web.Response:
        listed = listoptions.parse(request.query, watch=flag(request.query, "watch"))
        where = _filter(request, kind)
        writing.read(request, context)
        options = await self._delete_options(request, context)
        page = await self._service.reader.page(kind, path.namespace, where, listed)
        registry, context.nameless = self._service.registry, True
        deletions = [
            registry.delete(kind, entry.key.namespace, entry.key.name, options, context)
            for entry in page.entries
        ]
        results = await asyncio.gather(*deletions, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not (
                isinstance(result, ApiError) and result.code == 404
            ):
                raise result
        return respond(self._presenter.many(kind, page, wanted, request.query), 200)

    async def _delete_options(self, request: web.Request, context: Context) -> Obj:
        """DeleteOptions out of the body, or without one out of the query. Raises ApiError 400 or 422."""
        query, body = request.query, await self._bodies.options(request)
        if body is None:
            dry_run = query.getall("dryRun", [])
            options: Obj = {"dryRun": dry_run} if dry_run else {}
            if "gracePeriodSeconds" in query:
                options["gracePeriodSeconds"] = number(query, "gracePeriodSeconds")
            if "propagationPolicy" in query:
                options["propagationPolicy"] = query["propagationPolicy"]
            if "orphanDependents" in query:
                options["orphanDependents"] = flag(query, "orphanDependents")
        else:
            options = deletion_options(self._service.registry.kinds.catalogue, body)
        writing.check_deletion(options)
        context.dry_run = bool(options.get("dryRun"))
        context.options = {key: value for key, value in options.items() if key not in ("kind", "apiVersion")}
        return options

    async def _list(self, request: web.Request, kind: Kind, namespace: str, wanted: Wanted) -> web.Response:
        options = listoptions.parse(request.query, watch=False)
        page = await self._service.reader.page(kind, namespace, _filter(request, kind), options)
        return respond(self._presenter.many(kind, page, wanted, request.query), 200)

    async def _watch(
        self, request: web.Request, kind: Kind, path: ResourcePath, wanted: Wanted
    ) -> web.StreamResponse:
        options = listoptions.parse(request.query, watch=True)
        where = _filter(request, kind, path.name)
        return await self._watcher.serve(request, kind, path.namespace, where, options=options, wanted=wanted)


def _target(kind: Kind, path: ResourcePath) -> Target:
    return Target(kind, path.namespace, path.name, path.subresource)


def _filter(request: web.Request, kind: Kind, name: str = "") -> Filter:
    fields = request.query.get("fieldSelector", "")
    if name:
        fields = f"metadata.name={name}" + (f",{fields}" if fields else "")
    return parse_filter(kind, request.query.get("labelSelector", ""), fields)


def respond(data: bytes, status: int, context: Context | None = None) -> web.Response:
    """A JSON answer with the warnings of the request."""
    response = web.Response(body=data, status=status, content_type="application/json")
    for warning in context.warnings if context is not None else ():
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
    return response
