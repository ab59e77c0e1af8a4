"""One line of the audit log: an `Event` of audit.k8s.io/v1 (`apiserver/pkg/audit/request.go`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

from edgelab.daemon.clock import rfc3339_micro
from edgelab.edgesite.apiserver.authorization import Attributes
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.reviews import user_info
from edgelab.edgesite.audit.policy import REQUEST, RESPONSE, Decision
from edgelab.uids import new_uid

Obj = dict[str, Any]

MAX_AGENT = 1024
STATUS_FIELDS = ("status", "message", "reason", "details", "code")


class _Metadata(msgspec.Struct):
    name: str = ""


class _Named(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class Record:
    """What is known of a request; `event` is its line at one stage. `code` is that of an answer under way."""

    def __init__(self, uri: str, agent: str, sources: list[str], received: dt.datetime) -> None:
        self.audit_id = new_uid()
        self.decision = Decision("None")
        self.code = 0
        self._received = received
        self._facts: Obj = {"requestURI": uri, "sourceIPs": sources}
        if agent:
            self._facts["userAgent"] = (
                agent if len(agent) <= MAX_AGENT else f"{agent[:MAX_AGENT]}...TRUNCATED"
            )
        self._annotations: dict[str, str] = {}
        self._bodies: Obj = {}
        self._reference: Obj = {}

    def asked(self, user: User, acting: User, wanted: Attributes, version: str) -> None:
        """Who asks, as whom, and for what."""
        self._facts |= {"verb": wanted.verb, "user": user_info(user)}
        if acting is not user:
            self._facts["impersonatedUser"] = user_info(acting)
        if not wanted.path:
            self._reference = {
                "resource": wanted.resource,
                "namespace": wanted.namespace,
                "name": wanted.name,
                "apiGroup": wanted.group,
                "apiVersion": version,
                "subresource": wanted.subresource,
            }

    def decided(self, *, allowed: bool, reason: str) -> None:
        """What authorization said."""
        self._annotations["authorization.k8s.io/decision"] = "allow" if allowed else "forbid"
        self._annotations["authorization.k8s.io/reason"] = reason

    @property
    def creates(self) -> bool:
        """Whether the name of its object is in its body and nowhere else."""
        return bool(self._reference) and self._facts["verb"] == "create" and not self._reference["name"]

    def created(self, request: bytes) -> None:
        """Take the name of a new object from the body, as kube-apiserver does."""
        if not self.creates:
            return
        try:
            self._reference["name"] = msgspec.json.decode(request, type=_Named).metadata.name
        except msgspec.MsgspecError:
            return  # no JSON, or none that could be created

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """What admission has to say."""
        self._annotations |= annotations

    def bodies(self, request: bytes, response: bytes) -> None:
        """Keep as much of the bodies as the level wants: JSON objects only."""
        level = self.decision.level
        if level in (REQUEST, RESPONSE) and request:
            self._bodies["requestObject"] = self._body(request)
        if level == RESPONSE and response:
            self._bodies["responseObject"] = self._body(response)
        self._bodies = {key: value for key, value in self._bodies.items() if value is not None}

    def event(self, stage: str, now: dt.datetime, status: Mapping[str, Any] | None = None) -> Obj:
        """The line."""
        reference = {key: value for key, value in self._reference.items() if value}
        return {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": self.decision.level,
            "auditID": self.audit_id,
            "stage": stage,
            **self._facts,
            **({"objectRef": reference} if reference else {}),
            **({"responseStatus": {"metadata": {}, **status}} if status is not None else {}),
            **self._bodies,
            "requestReceivedTimestamp": rfc3339_micro(self._received),
            "stageTimestamp": rfc3339_micro(now),
            **({"annotations": dict(self._annotations)} if self._annotations else {}),
        }

    def _body(self, data: bytes) -> Obj | list[Any] | None:
        try:
            found = msgspec.json.decode(data)
        except msgspec.MsgspecError:
            return None
        if isinstance(found, dict) and self.decision.omit_managed:
            for item in (found, *(found.get("items") or ())):
                if isinstance(item, dict) and isinstance(item.get("metadata"), dict):
                    item["metadata"].pop("managedFields", None)
        return found if isinstance(found, dict | list) else None


def status_of(code: int, body: bytes) -> Obj:
    """The answer's status: that of the body if it is one."""
    if code >= 400 and body.startswith(b'{"kind":"Status"'):
        found = msgspec.json.decode(body)
        return {key: found[key] for key in STATUS_FIELDS if key in found}
    return {"code": code}
