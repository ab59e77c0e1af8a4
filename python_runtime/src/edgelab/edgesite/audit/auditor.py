"""What the HTTP server tells the audit log, request by request."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver.authorization import Attributes
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.request import ResourcePath
from edgelab.edgesite.audit.events import Record, status_of
from edgelab.edgesite.audit.log import AuditLog
from edgelab.edgesite.audit.policy import COMPLETE, METADATA, NONE, RECEIVED, RESPONSE, STARTED, Policy

NOBODY = User("")
GONE = "the client went away before the answer"


class Auditor:
    """Makes a record of each request and writes its stages, as far as the policy wants them."""

    def __init__(self, log: AuditLog, policy: Policy, clock: Clock) -> None:
        self.log = log
        self._policy = policy
        self._clock = clock
        self._records: dict[int, Record] = {}
        """Of the requests under way, by their identity: older versions of aiohttp know no typed keys."""

    def begin(self, request: web.Request) -> None:
        """A request has come in."""
        forwarded = request.headers.get("X-Forwarded-For", "")
        sources = [part.strip() for part in forwarded.split(",") if part.strip()]
        sources += [request.remote] if request.remote and request.remote not in sources else []
        agent = request.headers.get("User-Agent", "").encode("utf-8", "replace").decode()
        self._records[id(request)] = Record(request.path_qs, agent, sources, self._clock.now())

    def asked(
        self, request: web.Request, user: User, acting: User, wanted: Attributes, path: ResourcePath | None
    ) -> None:
        """Who it is, and what it is about."""
        record = self._records[id(request)]
        record.decision = self._policy.decide(user, wanted)
        record.asked(user, acting, wanted, path.version if path is not None else "")
        self._write(record, RECEIVED)

    def decided(self, request: web.Request, *, allowed: bool, reason: str) -> None:
        """What authorization said."""
        self._records[id(request)].decided(allowed=allowed, reason=reason)

    def annotate(self, request: web.Request, annotations: dict[str, str]) -> None:
        """What admission has to say."""
        self._records[id(request)].annotate(annotations)

    async def started(self, request: web.Request, response: web.StreamResponse) -> None:
        """The head of a watch goes out, which is a stage of its own; it carries the record's id."""
        record = self._records.get(id(request))
        if record is not None and not isinstance(response, web.Response):
            response.headers["Audit-Id"] = record.audit_id
            record.code = response.status
            self._write(record, STARTED, {"code": response.status})

    async def end(self, request: web.Request, response: web.StreamResponse | None) -> None:
        """It has been answered, or it failed."""
        record = self._records.pop(id(request))
        if response is None:
            code = {"code": record.code} if record.code else {"status": "Failure", "message": GONE}
            self._write(record, COMPLETE, code)
            return
        if not response.prepared:
            response.headers["Audit-Id"] = record.audit_id
        if response.status == 401 and record.decision.level == NONE:
            self._refused(record, request)
            return
        if record.decision.level == NONE:
            return
        body = response.body if isinstance(response, web.Response) else b""
        data = body if isinstance(body, bytes) else b""
        if record.decision.level != METADATA or record.creates:
            was_read = request.body_exists and request.content.at_eof()
            sent = await request.read() if was_read else b""
            record.created(sent)
            record.bodies(sent, data if record.decision.level == RESPONSE else b"")
        self._write(record, COMPLETE, status_of(response.status, data))

    def _refused(self, record: Record, request: web.Request) -> None:
        """Credentials were wrong: nobody was found, and nothing was asked for."""
        attempted = (
            "bearer" if request.headers.get("Authorization", "").lower().startswith("bearer") else "x509"
        )
        wanted = Attributes(request.method.lower(), path=request.path)
        record.decision = self._policy.decide(NOBODY, wanted)
        record.asked(NOBODY, NOBODY, wanted, "")
        message = f"Authentication failed, attempted: {attempted}"
        self._write(record, STARTED, {"status": "Failure", "message": message, "code": 401})

    def _write(self, record: Record, stage: str, status: dict[str, Any] | None = None) -> None:
        if record.decision.level != NONE and stage not in record.decision.omit_stages:
            self.log.add(record.event(stage, self._clock.now(), status))
