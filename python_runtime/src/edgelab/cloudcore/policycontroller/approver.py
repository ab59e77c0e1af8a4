"""Approves the certificates with which MetaServers of edge nodes serve.

Receives: CertificateSigningRequests from an informer. Writes: their condition Approved.
Runs when the gate requireAuthorization is set: then MetaServers serve HTTPS.
Facts: KubeEdge `cloud/pkg/csrapprovercontroller`, which approves whatever names a node and serving. Here
the node that is named must be an edge node and must have asked itself: through CloudCore, which checked
the name, or as the user that the certificate is for.
"""

from __future__ import annotations

import logging

from edgelab.cloudcore.cluster import EDGE_LABEL, Cluster
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock, rfc3339
from edgelab.identity import requests
from edgelab.kube.informer import DELETED
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import CSRS, NODES
from edgelab.objects.metadata import labels

log = logging.getLogger("edgelab.cloudcore.policy")

MESSAGE = "Auto approving MetaServer serving certificate."


class CsrApprover:
    """A module. Call `start` once the informers have listed everything."""

    name = "policycontroller/approver"

    def __init__(self, api: KubeApi, cluster: Cluster, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._requests, self._nodes = cluster[CSRS], cluster[NODES]
        self._clock = clock
        self._vouched: set[str] = set()
        self._queue: WorkQueue[str] = WorkQueue(self.name, self._decide, workers=1, clock=clock)

    def start(self) -> None:
        """Follow the requests; what is there already is looked at first."""
        self._requests.add_handler(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def vouch(self, created: Obj) -> None:
        """CloudCore made this request for a node, whose name it has checked."""
        self._vouched.add(created["metadata"]["uid"])
        self._queue.add(created["metadata"]["name"])

    def _changed(self, event: str, _old: Obj | None, request: Obj) -> None:
        if event == DELETED:
            self._vouched.discard(request["metadata"]["uid"])
        else:
            self._queue.add(request["metadata"]["name"])

    async def _decide(self, name: str) -> None:
        request = self._requests.store.get(("", name))
        if request is None or _is_settled(request) or not self._is_ours(request):
            return
        condition = {
            "type": "Approved",
            "status": "True",
            "reason": "AutoApproved",
            "message": MESSAGE,
            "lastUpdateTime": rfc3339(self._clock.now()),
        }
        present = request.get("status") or {}
        status = {**present, "conditions": [*(present.get("conditions") or []), condition]}
        await self._api.update(CSRS, {**request, "status": status}, subresource="approval")
        log.info("approved serving certificate request %s", name)

    def _is_ours(self, request: Obj) -> bool:
        spec = request["spec"]
        if spec.get("signerName") != requests.SERVING:
            return False
        try:
            wanted = requests.checked(spec.get("request") or "")
        except requests.RequestError as error:
            log.warning("certificate request %s cannot be read: %s", request["metadata"]["name"], error)
            return False
        if requests.refusal(requests.SERVING, wanted, spec.get("usages") or []):
            return False
        node = self._nodes.store.get(("", wanted.common_name.removeprefix(requests.NODE_PREFIX)))
        asked_itself = spec.get("username") == wanted.common_name
        return (
            node is not None
            and EDGE_LABEL in labels(node)
            and (asked_itself or request["metadata"]["uid"] in self._vouched)
        )


def _is_settled(request: Obj) -> bool:
    status = request.get("status") or {}
    decided = {condition.get("type") for condition in status.get("conditions") or []}
    return bool(status.get("certificate") or decided & {"Approved", "Denied"})
