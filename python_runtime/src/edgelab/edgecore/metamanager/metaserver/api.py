"""The requests of clients, each answered by the cloud, from the store, or with a Status that says why not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import msgspec

from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.interfaces import Obj
from edgelab.edgecore.metamanager.metaserver import media, selection, targets, watching, writes
from edgelab.edgecore.metamanager.metaserver.discovery import Discovery, is_document
from edgelab.edgecore.metamanager.metaserver.http import Request, Response
from edgelab.edgecore.metamanager.metaserver.local import LocalPosts
from edgelab.edgecore.metamanager.metaserver.remote import Remote, Unavailable, offline
from edgelab.edgecore.metamanager.metaserver.scopes import LIST, Scopes
from edgelab.edgecore.metamanager.metaserver.targets import Target
from edgelab.edgecore.metamanager.mirror import Mirror
from edgelab.objects.status import ApiError, not_found
from edgelab.protocol.content.applications import Key

log = logging.getLogger(__name__)

KEPT_ITEMS = 500
"""Objects of the longest list that is stored: a node keeps what it uses, not the cluster."""


class Api:
    """Answers requests; `handle` never raises but for a defect, which it logs."""

    def __init__(
        self,
        remote: Remote,
        mirror: Mirror,
        scopes: Scopes,
        discovery: Discovery,
        local: LocalPosts,
        *,
        clock: Clock,
    ) -> None:
        self._remote = remote
        self._mirror = mirror
        self._scopes = scopes
        self._discovery = discovery
        self._local = local
        self._clock = clock
        self._tasks = Supervisor("metaserver/api")

    async def close(self) -> None:
        """End what is under way besides requests."""
        await self._tasks.close()

    async def handle(self, request: Request) -> Response:
        """The answer to a request."""
        try:
            return await self._answer(request)
        except ApiError as error:
            return media.failure(error)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return media.failure(ApiError(500, "MetaServer failed at this request; EdgeCore's log says how"))

    async def _answer(self, request: Request) -> Response:
        if (found := await self._local.serve(request)) is not None:
            return found
        path = request.path.rstrip("/")
        if request.method in ("GET", "HEAD") and is_document(path):
            return await self._discovery.serve(path)
        target = targets.read(request)
        if target is None:
            raise ApiError(404, f"MetaServer does not serve {request.path}")
        kind = media.answer_type(request)
        match target.verb:
            case "get":
                return media.write(await self._get(target), kind)
            case "list":
                return media.write(await self._list(request, target), kind)
            case "watch":
                if kind != media.JSON:
                    raise ApiError(406, f"watches are streams of {media.JSON}")
                return await self._watch(request, target)
        return media.write(await self._write(request, target), kind, 201 if target.verb == "create" else 200)

    # Reads

    async def _get(self, target: Target) -> bytes:
        key, sub = target.key, target.subresource
        try:
            data, obj = await self._remote.get(key, sub)
        except Unavailable as error:
            return self._stored(target, error)
        except ApiError as error:
            if error.code == 404 and not sub and (error.details or {}).get("name") == key.name:
                self._mirror.forget(key)
            raise
        if sub in ("", "status"):
            self._keep(obj)
        return data

    def _keep(self, obj: Obj) -> None:
        if obj.get("kind") and obj.get("apiVersion") and (obj.get("metadata") or {}).get("resourceVersion"):
            self._mirror.keep(obj)

    def _stored(self, target: Target, error: Unavailable) -> bytes:
        key = target.key
        if target.subresource not in ("", "status"):
            raise offline(error, f"{key.resource}/{target.subresource}")
        found = self._mirror.get(key)
        if found is None:
            missing = not_found(key.resource, key.name, key.group)
            missing.message += " on this node, and the cloud cannot be asked now"
            raise missing
        return found

    async def _list(self, request: Request, target: Target) -> bytes:
        options = targets.list_options(request)
        chosen = selection.parse(options.get("labelSelector", ""), options.get("fieldSelector", ""))
        try:
            data = await self._remote.call(target.key, "list", options)
        except Unavailable as error:
            if options.get("continue"):
                raise offline(error, "the rest of a list") from None
            return self._stored_list(target.key, chosen)
        try:
            await self._keep_list(target.key, options, chosen, data)
        except msgspec.DecodeError as error:
            raise ApiError(502, f"CloudCore's answer cannot be read: {error}") from None
        return data

    def _stored_list(self, key: Key, chosen: selection.Selection) -> bytes:
        """All that is stored: `limit` is a wish, and short lists are whole."""
        rows = [data for _, _, data in self._mirror.read(key)]
        if not chosen.everything:
            rows = [data for data in rows if chosen.matches(msgspec.json.decode(data))]
        listed = {
            "kind": f"{self._mirror.kinds.kind(key.resource)}List",
            "apiVersion": key.api_version,
            "metadata": {"resourceVersion": str(self._mirror.log.revision)},
            "items": [msgspec.Raw(data) for data in rows],
        }
        return msgspec.json.encode(listed)

    async def _keep_list(
        self, key: Key, options: dict[str, Any], chosen: selection.Selection, data: bytes
    ) -> None:
        listed = LIST.decode(data)
        items = listed.items or []
        self._mirror.kinds.learn(key.resource, listed.kind.removesuffix("List"))
        if len(items) > KEPT_ITEMS:
            return
        whole = chosen.everything and not (options.get("continue") or listed.metadata.go_on)
        written = self._mirror.replace(key, items, listed.version, whole=whole)
        if written is not None:
            await asyncio.wait({written})

    async def _watch(self, request: Request, target: Target) -> Response:
        query = request.query
        asked = query.get("resourceVersion", "")
        if asked and not asked.isdecimal():
            raise ApiError(400, f"resourceVersion={asked} is no version")
        initial = targets.flag(query, "sendInitialEvents")
        bookmarks = targets.flag(query, "allowWatchBookmarks")
        wish = watching.Wish(
            version=None if initial or asked in ("", "0") else int(asked),
            bookmarks=bookmarks,
            initial_end=initial and bookmarks,
            seconds=targets.number(query, "timeoutSeconds"),
        )
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        selection.parse(labels, fields)
        scope = await self._scopes.open(target.key, labels, fields)
        watch = watching.Watch(self._mirror, scope, wish, self._clock)
        return Response(200, stream=watch.events(), closed=lambda: self._scopes.close(scope))

    # Writes

    async def _write(self, request: Request, target: Target) -> bytes:
        key, sub, verb = target.key, target.subresource, target.verb
        option: Any
        body: bytes | None
        match verb:
            case "create":
                option, body = writes.create(request, target)
            case "update":
                option, body = writes.update(request, target)
            case "patch":
                option, body = writes.patch(request, target)
            case _:
                option, body = writes.delete(request)
        try:
            data = await self._remote.call(key, verb, option, body=body, subresource=sub)
        except Unavailable as error:
            raise offline(error, f"{verb} of {key.resource}") from None
        if verb == "delete":
            self._tasks.spawn(self._look_again(key), f"look/{key}")
            return data or writes.deleted(key)
        self._take_over(data, sub, request)
        return data

    def _take_over(self, data: bytes, subresource: str, request: Request) -> None:
        if subresource in ("", "status") and not request.all("dryRun"):
            with contextlib.suppress(msgspec.DecodeError):
                self._keep(msgspec.json.decode(data, type=dict[str, Any]))

    async def _look_again(self, key: Key) -> None:
        """Whether a deleted object is gone at once; nobody may be watching it."""
        try:
            self._keep((await self._remote.get(key))[1])
        except ApiError as error:
            if error.code == 404:
                self._mirror.forget(key)
        except Unavailable as error:
            log.debug("%s was deleted, and is stored still: %s", key, error)
