"""HTTP on resources: each method of a path becomes a verb of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.accept import Wanted
from edgelab.edgesite.apiserver.bodies import Bodies, read_json, read_yaml
from edgelab.edgesite.apiserver.context import Context, Target, User
from edgelab.edgesite.apiserver.custom import conversion
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.options import typed
from edgelab.edgesite.apiserver.presenting import Lines, Presenter
from edgelab.edgesite.apiserver.reads import (
    INITIAL_END,
    Change,
    Filter,
    ListOptions,
    bookmark,
    parse_filter,
    revision_of,
)
from edgelab.edgesite.apiserver.request import ResourcePath, flag, number
from edgelab.edgesite.apiserver.reviews import Reviews
from edgelab.edgesite.apiserver.service import ApiService
from edgelab.kube.interface import PatchType
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

BOOKMARK_SECONDS = 60.0
DEFAULT_WATCH_SECONDS = 1800
NOT_ALLOWED = "the server does not allow this method on the requested resource"
VALIDATIONS = ("", "Ignore", "Warn", "Strict")


class ResourceHandler:
    """Serves one request on a known kind."""

    def __init__(self, service: ApiService, reviews: Reviews, presenter: Presenter, clock: Clock) -> None:
        self._service = service
        self._reviews = reviews
        self._presenter = presenter
        self._bodies = Bodies(service.registry.kinds.catalogue)
        self._clock = clock

    async def serve(
        self, request: web.Request, kind: Kind, path: ResourcePath, user: User, wanted: Wanted
    ) -> web.StreamResponse:
        """Answer, or raise ApiError."""
        if kind.verbs == ("create",):
            return await self._review(request, kind, path, user)
        if path.name and conversion.is_converted(kind):
            await request.read()  # nothing may be waited for between the preparation and the use
            await self._service.registry.prepare(kind, path.namespace, path.name)
        if path.name:
            return await self._on_object(request, kind, path, user, wanted)
        if request.method == "GET":
            if flag(request.query, "watch"):
                return await self._watch(request, kind, path.namespace, "", wanted)
            return await self._list(request, kind, path.namespace, wanted)
        if request.method == "POST":
            return await self._create(request, kind, path, user, wanted)
        if request.method == "DELETE":
            return await self._delete_collection(request, kind, path, user, wanted)
        raise ApiError(405, NOT_ALLOWED)

    async def _review(self, request: web.Request, kind: Kind, path: ResourcePath, user: User) -> web.Response:
        if request.method != "POST" or path.name:
            raise ApiError(405, NOT_ALLOWED)
        context, kinds = _context(request, user), self._service.registry.kinds
        body = codec.conform(
            kind, codec.check_type(kind, await self._bodies.read(request), kinds), kinds, context
        )
        if kind.name == "Binding":
            pods = kinds.find("", "v1", "pods")
            assert pods is not None
            answer = await self._service.bind(
                Target(pods, path.namespace, body["metadata"]["name"]), body, context
            )
        else:
            answer = self._reviews.answer(kind.name, path.namespace, body, user)
        return respond(codec.encode(answer), 201, context)

    async def _on_object(
        self, request: web.Request, kind: Kind, path: ResourcePath, user: User, wanted: Wanted
    ) -> web.StreamResponse:
        if request.method == "GET":
            if flag(request.query, "watch"):
                return await self._watch(request, kind, path.namespace, path.name, wanted)
            return self._get(request, kind, path, wanted)
        context = _context(request, user)
        if request.method == "PUT":
            body = await self._bodies.read(request)
            data = await self._service.update(_target(kind, path), body, context)
            return respond(self._presenter.one(kind, data, wanted, request.query), 200, context)
        if request.method == "PATCH":
            return await self._patch(request, kind, path, context, wanted)
        if request.method == "DELETE" and not path.subresource:
            return await self._delete(request, kind, path, context, wanted)
        if request.method == "POST" and path.subresource:
            body = await self._bodies.read(request)
            answer = await self._service.create_sub(_target(kind, path), body, context)
            return respond(codec.encode(answer), 201, context)
        raise ApiError(405, NOT_ALLOWED)

    def _get(self, request: web.Request, kind: Kind, path: ResourcePath, wanted: Wanted) -> web.Response:
        if path.subresource:
            data = self._service.read_sub(_target(kind, path))
            return respond(data, 200)
        entry = self._service.registry.get(kind, path.namespace, path.name)
        return respond(self._presenter.one(kind, codec.convert(entry.data, kind), wanted, request.query), 200)

    async def _create(
        self, request: web.Request, kind: Kind, path: ResourcePath, user: User, wanted: Wanted
    ) -> web.Response:
        context = _context(request, user)
        body = await self._bodies.read(request)
        if kind.resource.namespaced and not path.namespace:
            raise ApiError(405, NOT_ALLOWED)
        entry = await self._service.registry.create(kind, path.namespace, body, context)
        data = codec.convert(entry.data, kind)
        return respond(self._presenter.one(kind, data, wanted, request.query), 201, context)

    async def _patch(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context, wanted: Wanted
    ) -> web.Response:
        media = request.content_type
        if media == "application/apply-patch+cbor" or media not in set(PatchType):
            accepted = ", ".join(str(item) for item in PatchType)
            raise ApiError(
                415,
                "the body of the request was in an unknown format - accepted media types include: "
                + accepted,
            )
        patch_type = PatchType(media)
        raw = await request.read()
        body = read_yaml(raw) if patch_type is PatchType.APPLY else read_json(raw)
        key = self._service.registry.key(kind, path.namespace, path.name)
        absent = self._service.registry.store.head(key) is None
        data = await self._service.patch(_target(kind, path), body, patch_type, context)
        return respond(
            self._presenter.one(kind, data, wanted, request.query), 201 if absent else 200, context
        )

    async def _delete(
        self, request: web.Request, kind: Kind, path: ResourcePath, context: Context, wanted: Wanted
    ) -> web.Response:
        options = await self._delete_options(request)
        context.dry_run = context.dry_run or bool(options.get("dryRun"))
        entry, gone = await self._service.registry.delete(kind, path.namespace, path.name, options, context)
        if not gone or self._presenter.returns_deleted(kind):
            data = codec.convert(entry.data, kind)
            return respond(self._presenter.one(kind, data, wanted, request.query), 200)
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
        self, request: web.Request, kind: Kind, path: ResourcePath, user: User, wanted: Wanted
    ) -> web.Response:
        where, context = _filter(request, kind), _context(request, user)
        options = await self._delete_options(request)
        page = await self._service.reader.page(kind, path.namespace, where, ListOptions())
        registry = self._service.registry
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

    async def _delete_options(self, request: web.Request) -> Obj:
        """DeleteOptions out of the body, or out of the query."""
        body = await self._bodies.read(request) if request.can_read_body else None
        catalogue = self._service.registry.kinds.catalogue
        options = typed(catalogue, "", "v1", "DeleteOptions", {} if body is None else body)
        query = request.query
        if "gracePeriodSeconds" in query:
            options.setdefault("gracePeriodSeconds", number(query, "gracePeriodSeconds"))
        if "propagationPolicy" in query:
            options.setdefault("propagationPolicy", query["propagationPolicy"])
        return options

    async def _list(self, request: web.Request, kind: Kind, namespace: str, wanted: Wanted) -> web.Response:
        query = request.query
        options = ListOptions(
            max(0, number(query, "limit")),
            query.get("continue", ""),
            query.get("resourceVersion", ""),
            query.get("resourceVersionMatch", ""),
        )
        page = await self._service.reader.page(kind, namespace, _filter(request, kind), options)
        return respond(self._presenter.many(kind, page, wanted, query), 200)

    async def _watch(
        self, request: web.Request, kind: Kind, namespace: str, name: str, wanted: Wanted
    ) -> web.StreamResponse:
        where = _filter(request, kind, name)
        query = request.query
        initial = flag(query, "sendInitialEvents")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        seconds = number(query, "timeoutSeconds", DEFAULT_WATCH_SECONDS)
        version = query.get("resourceVersion", "")
        if version:
            revision_of(version)  # a watch that cannot begin is refused, not begun and ended
        batches = self._service.reader.watch(
            kind,
            namespace,
            where,
            version,
            initial=initial,
            patience=BOOKMARK_SECONDS,
        )
        first = _First(response, request)
        try:
            async with aclosing(batches), asyncio.timeout(seconds):
                await self._stream(batches, kind, wanted, first, bookmarks=flag(query, "allowWatchBookmarks"))
        except TimeoutError:
            await first.prepared()
        except ConnectionError:
            return response
        except ApiError as error:
            await first.prepared()
            await response.write(b'{"type":"ERROR","object":' + codec.encode(error.status()) + b"}\n")
        await response.write_eof()
        return response

    async def _stream(
        self,
        batches: AsyncGenerator[list[Change], None],
        kind: Kind,
        wanted: Wanted,
        first: _First,
        *,
        bookmarks: bool,
    ) -> None:
        """Write batches as they come; a bookmark when nothing came for a while."""
        lines = self._presenter.watcher(kind, wanted)
        response = await first.prepared()
        async for batch in batches:
            if not batch and bookmarks:
                await response.write(lines.bookmark(bookmark(kind, self._service.reader.store.revision)))
            elif batch:
                await response.write(b"".join(_line(lines, kind, change) for change in batch))


def _line(lines: Lines, kind: Kind, change: Change) -> bytes:
    if change.type == INITIAL_END:
        return lines.bookmark(bookmark(kind, change.revision, initial_end=True))
    return lines.line(change)


class _First:
    """Sends the response's head once."""

    def __init__(self, response: web.StreamResponse, request: web.Request) -> None:
        self._response = response
        self._request = request

    async def prepared(self) -> web.StreamResponse:
        if not self._response.prepared:
            await self._response.prepare(self._request)
        return self._response


def _target(kind: Kind, path: ResourcePath) -> Target:
    return Target(kind, path.namespace, path.name, path.subresource)


def _filter(request: web.Request, kind: Kind, name: str = "") -> Filter:
    fields = request.query.get("fieldSelector", "")
    if name:
        fields = f"metadata.name={name}" + (f",{fields}" if fields else "")
    return parse_filter(kind, request.query.get("labelSelector", ""), fields)


def _context(request: web.Request, user: User) -> Context:
    query = request.query
    validation = query.get("fieldValidation", "")
    if validation not in VALIDATIONS:
        raise ApiError(422, f'fieldValidation: Unsupported value: "{validation}"', reason="Invalid")
    dry_run = query.getall("dryRun", [])
    if any(item not in ("", "All") for item in dry_run):
        raise ApiError(
            422, f'dryRun: Unsupported value: "{dry_run[0]}": supported values: "All"', reason="Invalid"
        )
    manager = query.get("fieldManager") or ""
    if not manager and request.content_type != PatchType.APPLY:
        manager = request.headers.get("User-Agent", "unknown").partition("/")[0]
    return Context(
        user=user,
        dry_run="All" in dry_run,
        field_manager=manager,
        field_validation=validation or "Warn",
        force=flag(query, "force"),
    )


def respond(data: bytes, status: int, context: Context | None = None) -> web.Response:
    """A JSON answer with the warnings of the request."""
    response = web.Response(body=data, status=status, content_type="application/json")
    for warning in context.warnings if context is not None else ():
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
    return response
