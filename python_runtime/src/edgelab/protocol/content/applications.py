"""Requests of the MetaServer to the cloud (KubeEdge `pkg/metaserver/application.go`).

The Go struct has no JSON names: all twelve fields are there, by their Go names. `Option`, `ReqBody` and
`RespBody` are base64 text, null when there is none.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from edgelab.protocol.content.codecs import Plain, Struct
from edgelab.protocol.content.objects import ErrorBody

NEVER = "0001-01-01T00:00:00Z"
IN_APPLYING, APPROVED, REJECTED, COMPLETED = "InApplying", "Approved", "Rejected", "Completed"


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


def content_of(text: str | None) -> bytes:
    """What the base64 text of a body says; nothing for none. Raises ValueError."""
    return base64.b64decode(text or "", validate=True)


APPLICATION = Struct(Application)
WATCHES = Plain(dict[str, Application])
"""All live watches of a node by ID; in the answer those that failed."""
