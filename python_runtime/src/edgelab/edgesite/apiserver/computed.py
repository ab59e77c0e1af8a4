"""Resources that are not stored but answered when they are asked for: they can be got and listed."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from edgelab.edgesite.apiserver.accept import Wanted
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.refusals import no_such_path, not_allowed
from edgelab.edgesite.apiserver.request import ResourcePath, flag
from edgelab.objects.status import ApiError


class Computed(Protocol):
    """Who answers for such kinds."""

    async def answer(self, request: web.Request, kind: Kind, path: ResourcePath, wanted: Wanted) -> bytes:
        """One or all. Raises ApiError."""
        ...


def check(request: web.Request, kind: Kind, path: ResourcePath) -> None:
    """Let nothing through but get and list. Raises ApiError 404 or 405."""
    if path.subresource or path.watched:
        raise no_such_path()
    if request.method != "GET":
        raise not_allowed()
    if flag(request.query, "watch"):
        text = f'watch is not supported on resources of kind "{kind.qualified}"'
        details = {**({"group": kind.group} if kind.group else {}), "kind": kind.plural}
        raise ApiError(405, text, details=details)
