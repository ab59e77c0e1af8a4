"""CertificateSigningRequests: those of nodes approved, approved ones signed, old ones deleted
(`pkg/controller/certificates/{approver,signer,cleaner}`).

Receives requests; writes their conditions and certificates.
"""

from __future__ import annotations

import base64
import datetime as dt

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.trust import Trust
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import CSRS
from edgelab.objects.metadata import is_deleting

DECIDED_HOURS, PENDING_HOURS = 1, 24
CLEANING_SECONDS = 3600.0
APPROVERS = (
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
    ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
)


class CertificateRequestController:
    """A module; its queue holds the names of requests."""

    name = "certificate-controller"

    def __init__(self, cluster: Cluster, trust: Trust) -> None:
        self._cluster = cluster
        self._trust = trust
        self._requests = cluster.view(CSRS)
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._requests])
        self._requests.add_handler(self._on_request)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _on_request(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED:
            self._queue.add_object(new)

    async def _reconcile(self, key: Key) -> float | None:
        request = self._requests.get(key[1])
        if request is None or is_deleting(request):
            return None
        if is_old(request, self._cluster.clock.now()):
            await self._cluster.delete(CSRS, request)
            return None
        if not _certificate(request):
            await self._decide(request)
        return CLEANING_SECONDS

    async def _decide(self, request: Obj) -> None:
        if _has(request, "Approved"):
            if not _has(request, "Failed") and not _has(request, "Denied"):
                await self._sign(request)
        elif not _has(request, "Denied"):
            await self._approve(request)

    async def _approve(self, request: Obj) -> None:
        """A node's request for its client certificate needs nobody to look at it, if it may ask for it."""
        from edgelab.identity import requests  # noqa: PLC0415 - rare

        spec = request["spec"]
        if spec.get("signerName") != requests.NODE_CLIENT:
            return
        asked = requests.parse(spec["request"])
        if requests.node_client_refusal(asked, set(spec.get("usages") or ())):
            return
        for subresource, message in APPROVERS:
            is_own = spec.get("username") == asked.common_name
            if (is_own or subresource == "nodeclient") and self._trust.may_create(spec, subresource):
                await self._condition(request, "Approved", "AutoApproved", message, "approval")
                return

    async def _sign(self, request: Obj) -> None:
        from edgelab.identity import requests  # noqa: PLC0415 - rare

        spec = request["spec"]
        if spec.get("signerName") not in requests.SIGNERS:
            return
        refusal = requests.refusal(
            spec["signerName"], requests.parse(spec["request"]), spec.get("usages") or ()
        )
        if refusal:
            await self._condition(request, "Failed", "SignerValidationFailure", refusal, "status")
            return
        certificate = base64.b64encode(self._trust.sign(request)).decode()
        status = {**(request.get("status") or {}), "certificate": certificate}
        await self._cluster.update(CSRS, {**request, "status": status}, "status")

    async def _condition(self, request: Obj, kind: str, reason: str, message: str, subresource: str) -> None:
        status = request.get("status") or {}
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        conditions = [*(status.get("conditions") or ()), condition]
        new = {**request, "status": {**status, "conditions": conditions}}
        await self._cluster.update(CSRS, new, subresource)


def _certificate(request: Obj) -> str:
    return (request.get("status") or {}).get("certificate") or ""


def _has(request: Obj, kind: str) -> bool:
    conditions = (request.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == kind and item.get("status") == "True" for item in conditions)


def is_old(request: Obj, now: dt.datetime) -> bool:
    """Whether nobody waits for a request any more (`pkg/controller/certificates/cleaner`)."""
    conditions = (request.get("status") or {}).get("conditions") or ()
    if not conditions:
        return _older(request["metadata"].get("creationTimestamp"), now, PENDING_HOURS)
    issued = bool(_certificate(request))
    if issued and any(item.get("type") == "Approved" for item in conditions) and _is_expired(request, now):
        return True
    hours = {
        "Approved": DECIDED_HOURS if issued else PENDING_HOURS,
        "Denied": DECIDED_HOURS,
        "Failed": DECIDED_HOURS,
    }
    return any(
        item.get("type") in hours and _older(item.get("lastUpdateTime"), now, hours[item["type"]])
        for item in conditions
    )


def _is_expired(request: Obj, now: dt.datetime) -> bool:
    from edgelab.identity import ca  # noqa: PLC0415 - rare

    try:
        certificate = ca.load_certificate(base64.b64decode(_certificate(request)))
    except ValueError:
        return False
    return bool(now > certificate.not_valid_after_utc)


def _older(moment: str | None, now: dt.datetime, hours: int) -> bool:
    return bool(moment) and now - parse_rfc3339(moment or "") > dt.timedelta(hours=hours)
