"""Requests of the MetaServer to the cloud (KubeEdge `pkg/metaserver/application.go`).

The Go struct has no JSON names: all twelve fields are there, by their Go names. `Option`, `ReqBody` and
`RespBody` are base64 text, null when there is none.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from edgelab.protocol import message as wire
from edgelab.protocol.content.codecs import Plain, Struct
from edgelab.protocol.content.objects import ErrorBody
from edgelab.protocol.message import Message

NEVER = "0001-01-01T00:00:00Z"
PRE_APPLYING, IN_APPLYING, IN_PROCESSING = "PreApplying", "InApplying", "InProcessing"
APPROVED, REJECTED, FAILED, COMPLETED = "Approved", "Rejected", "Failed", "Completed"
VERBS = ("get", "list", "watch", "create", "delete", "update", "updatestatus", "patch")

SOURCE_EDGE, SOURCE_CLOUD = "metaserver", "dynamiccontroller"
SYNC = "watchapp/sync"
"""The resource of a message with all live watches of a node."""
RESPONSE = "applicationResponse"

NOTHING = "null"
CORE = "core"
NO_ERROR = Raw(b'{"metadata":{}}')
"""The Status of an application without an error, as Go writes an empty one."""

_PART = r"(?!\.+(/|$))[\w.-]+"
PASS_THROUGH = re.compile(
    rf"/(version|healthz|livez|readyz|openapi/v2|openapi/v3|apis?|api/{_PART}|apis/{_PART}(/{_PART})?)"
)
"""Paths whose answers of the API server are handed on as they are (KubeEdge `IsPassThroughPath`)."""
SCHEMAS = re.compile(rf"/openapi/v3/(api/{_PART}|apis/{_PART}(/{_PART})?)")
"""Ours besides: the schemas of one group, which kubectl reads before it applies anything."""


class Key(NamedTuple):
    """What a request is about; an empty part stands as `null` on the wire (`core` for the group)."""

    group: str
    version: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        head = (self.group or CORE, self.version, self.resource)
        return "/" + "/".join((*head, self.namespace or NOTHING, self.name or NOTHING))

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version


def parse_key(text: str) -> Key:
    """Read `/<group>/<version>/<resource>/<namespace>/<name>`. Raises ValueError."""
    parts = text.split("/")
    if len(parts) != 6 or parts[0] or not all(parts[1:]):
        raise ValueError(f"{text!r} is no key of an application: /group/version/resource/namespace/name")
    group, version, resource, namespace, name = parts[1:]
    blank = ("", NOTHING)
    return Key(
        "" if group == CORE else group,
        version,
        resource,
        "" if namespace in blank else namespace,
        "" if name in blank else name,
    )


class PatchOption(msgspec.Struct, rename="pascal"):
    """The `Option` of a patch; `data` is base64 of the patch, `subresources` names at most one."""

    name: str
    patch_type: str
    data: str
    options: dict[str, Any] | None = None
    subresources: list[str] | None = None


class Application(msgspec.Struct, rename="pascal"):
    """One request and, in the answer, its outcome.

    `key` is `/<group or core>/<version>/<resource>/<namespace or null>/<name or null>`, or a bare path.
    """

    id: str = msgspec.field(name="ID")
    key: str
    verb: str
    nodename: str
    option: str | None
    req_body: str | None
    subresource: str
    resp_body: str | None
    status: str
    reason: str
    error: ErrorBody
    timestamp: str = msgspec.field(default_factory=lambda: NEVER)

    def digest(self) -> str:
        """What `ID` has to be: SHA-256, in hex, of the parts that make a request what it is.

        Raises ValueError when `Option` or `ReqBody` is no base64.
        """
        head = f"{self.nodename}{self.key}{self.verb}".encode()
        parts = (head, content_of(self.option), content_of(self.req_body), self.subresource.encode())
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def options(self) -> dict[str, Any]:
        """The fields of `Option`; none when there is no option. Raises ValueError."""
        try:
            found = msgspec.json.decode(content_of(self.option) or b"{}")
        except msgspec.DecodeError as error:
            raise ValueError(f"Option of {self.verb} {self.key}: {error}") from None
        return found if isinstance(found, dict) else {}

    def approved(self, body: bytes | None = None) -> Application:
        """The answer to a request that was carried out."""
        return self._with(APPROVED, body, "", NO_ERROR)

    def rejected(self, status: dict[str, Any], reason: str = "") -> Application:
        """The answer to a request that failed: the Status says why."""
        return self._with(REJECTED, None, reason, wire.raw(status))

    def failure(self) -> dict[str, Any]:
        """The Status of the error; without a `code` when there is none."""
        status = self.error.status
        found = msgspec.json.decode(status) if isinstance(status, Raw) else {}
        return found if isinstance(found, dict) else {}

    def _with(self, status: str, body: bytes | None, reason: str, error: Raw) -> Application:
        text = None if body is None else base64.b64encode(body).decode()
        changes = {"status": status, "resp_body": text, "reason": reason, "error": ErrorBody(error)}
        return msgspec.structs.replace(self, **changes)


def content_of(text: str | None) -> bytes:
    """What the base64 text of a body says; nothing for none. Raises ValueError."""
    return base64.b64decode(text or "", validate=True)


def application(
    node: str,
    key: Key | str,
    verb: str,
    *,
    option: Any = None,
    body: bytes | None = None,
    subresource: str = "",
) -> Application:
    """A request of a node. `option` is plain data or a PatchOption; none is written as `{}`."""
    data = msgspec.json.encode(option if option is not None else {})
    made = Application(
        id="",
        key=str(key),
        verb=verb,
        nodename=node,
        option=base64.b64encode(data).decode(),
        req_body=None if body is None else base64.b64encode(body).decode(),
        subresource=subresource,
        resp_body=None,
        status=IN_APPLYING,
        reason="",
        error=ErrorBody(NO_ERROR),
    )
    made.id = made.digest()
    return made


def request(content: Any, resource: str = NOTHING) -> Message:
    """The message that carries an application, or with `SYNC` all of them, to the cloud."""
    return wire.new(
        source=SOURCE_EDGE, group=SOURCE_CLOUD, operation=NOTHING, resource=resource, content=content
    )


def answer(to: Message, content: Any) -> Message:
    """The cloud's answer to such a message."""
    resource = SYNC if to.route.resource.endswith(SYNC) else "ignore/Application/ignore"
    return wire.new(
        source=SOURCE_CLOUD,
        group="resource",
        operation=RESPONSE,
        resource=resource,
        content=content,
        parent_id=to.id,
    )


APPLICATION = Struct(Application)
WATCHES = Plain(dict[str, Application])
"""All live watches of a node by ID; in the answer those that failed."""
