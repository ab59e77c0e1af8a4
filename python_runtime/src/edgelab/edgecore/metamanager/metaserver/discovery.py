"""Discovery, version, health and schemas: the API server's own answers, kept for when it cannot be asked."""

from __future__ import annotations

import logging
import sqlite3

import msgspec

from edgelab.edgecore.metamanager import objects
from edgelab.edgecore.metamanager.kinds import Kinds
from edgelab.edgecore.metamanager.metaserver import godiscovery
from edgelab.edgecore.metamanager.metaserver.http import Response
from edgelab.edgecore.metamanager.metaserver.remote import Remote, Unavailable, offline
from edgelab.edgecore.store import Store
from edgelab.objects.status import ApiError
from edgelab.protocol.content import applications

log = logging.getLogger(__name__)

HEALTH = frozenset({"/healthz", "/livez", "/readyz"})
TEXT = "text/plain; charset=utf-8"
KEPT = 256 << 10
"""Bytes of the longest answer that is kept; schemas of a whole group are longer."""


class _Resource(msgspec.Struct):
    name: str
    kind: str = ""


class _Resources(msgspec.Struct):
    resources: list[_Resource] = []


def is_document(path: str) -> bool:
    """Whether a path is one of these."""
    return bool(applications.PASS_THROUGH.fullmatch(path) or applications.SCHEMAS.fullmatch(path))


class Discovery:
    """Asks CloudCore first. What was never asked for cannot be answered without it."""

    def __init__(self, remote: Remote, store: Store, kinds: Kinds) -> None:
        self._remote = remote
        self._store = store
        self._kinds = kinds

    async def serve(self, path: str) -> Response:
        """The answer to a path. Raises ApiError."""
        try:
            data = await self._remote.call(path, "get")
        except Unavailable as error:
            if path in HEALTH:
                return Response(200, b"ok", TEXT)  # MetaServer itself is well, and says so
            kept = objects.value(self._store, path)
            if kept is None:
                raise offline(error, f"{path} was never asked for while it was there: it") from None
            return Response(200, kept)
        if path in HEALTH:
            return Response(200, data, TEXT)
        try:
            data = godiscovery.as_json(data) if data.startswith(godiscovery.MAGIC) else data
            found = msgspec.json.decode(data, type=_Resources)
        except (msgspec.DecodeError, ValueError) as error:
            raise ApiError(502, f"CloudCore's answer for {path} cannot be read: {error}") from None
        for entry in found.resources:
            if "/" not in entry.name:
                self._kinds.learn(entry.name, entry.kind)
        await self._keep(path, data)
        return Response(200, data)

    async def _keep(self, path: str, data: bytes) -> None:
        if len(data) > KEPT or objects.value(self._store, path) == data:
            return
        try:
            await self._store.submit([objects.put_document(path, data)], durable=False)
        except sqlite3.Error as error:
            log.warning("the answer to %s could not be kept: %s", path, error)
