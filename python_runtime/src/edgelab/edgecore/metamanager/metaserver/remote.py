"""Requests of the MetaServer to CloudCore."""

from __future__ import annotations

from typing import Any

import msgspec

from edgelab.edgecore.interfaces import Hub, NoAnswer, Obj, Offline
from edgelab.objects.status import ApiError
from edgelab.protocol.content import applications
from edgelab.protocol.content.applications import Application, Key, application

DEADLINE = 10.0
"""Seconds for an answer, as in the original."""
OUTAGES = frozenset({502, 503, 504})


class Unavailable(Exception):
    """The cloud cannot be asked now; the text says why."""


class Remote:
    """Asks CloudCore's DynamicController."""

    def __init__(self, node: str, hub: Hub) -> None:
        self._node = node
        self._hub = hub

    @property
    def connected(self) -> bool:
        """Whether CloudCore is connected."""
        return self._hub.connected

    def application(self, key: Key | str, verb: str, option: Any = None) -> Application:
        """A request, not sent yet."""
        return application(self._node, key, verb, option=option)

    async def call(
        self,
        key: Key | str,
        verb: str,
        option: Any = None,
        *,
        body: bytes | None = None,
        subresource: str = "",
    ) -> bytes:
        """The body of the answer. Raises Unavailable, and ApiError for what the API server says."""
        asked = application(self._node, key, verb, option=option, body=body, subresource=subresource)
        return await self.ask(asked)

    async def ask(self, asked: Application) -> bytes:
        """Send a request; see `call`."""
        answer = await self._request(msgspec.json.encode(asked), applications.NOTHING, Application)
        if answer.status == applications.APPROVED:
            try:
                return applications.content_of(answer.resp_body)
            except ValueError as error:
                raise Unavailable(f"CloudCore's answer cannot be read: {error}") from None
        raise _refused(answer)

    async def get(self, key: Key, subresource: str = "") -> tuple[bytes, Obj]:
        """An object, as it came and read; see `call`."""
        data = await self.call(key, "get", subresource=subresource)
        try:
            return data, msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Unavailable(f"CloudCore's answer cannot be read: {error}") from None

    async def sync(self, watches: dict[str, Application]) -> dict[str, Application]:
        """Tell CloudCore all live watches; those that it could not begin. Raises Unavailable."""
        content = msgspec.json.encode(watches)
        found: dict[str, Application] = await self._request(
            content, applications.SYNC, dict[str, Application]
        )
        return found

    async def _request(self, content: bytes, resource: str, answer: Any) -> Any:
        message = applications.request(msgspec.Raw(content), resource)
        try:
            found = await self._hub.request(message, DEADLINE)
            return msgspec.json.decode(found.content, type=answer)
        except Offline as error:
            raise Unavailable(f"connection lost between EdgeCore and CloudCore: {error}") from None
        except NoAnswer as error:
            hint = "is modules.dynamicController enabled in cloudcore.yaml?"
            raise Unavailable(f"CloudCore does not answer: {error}; {hint}") from None
        except msgspec.DecodeError as error:
            raise Unavailable(f"CloudCore's answer cannot be read: {error}") from None


def _refused(answer: Application) -> Exception:
    """What a rejected request means. An answer may have lost its error: then the reason is all there is."""
    status = answer.failure()
    if status.get("code"):
        error = ApiError.from_status(status)
        return Unavailable(error.message) if error.code in OUTAGES else error
    if "could not find the requested resource" in answer.reason:
        return ApiError(404, "the server could not find the requested resource")
    text = answer.reason or f"CloudCore's answer is {answer.status} and gives no reason; its log has it"
    return ApiError(500, text)


def offline(error: Unavailable, what: str) -> ApiError:
    """503 for what only the cloud can do."""
    return ApiError(503, f"{what} needs the cloud: {error}")
