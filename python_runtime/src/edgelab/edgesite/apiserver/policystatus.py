"""The status of policies: what is wrong with their expressions, given the types of what they look at.

kube-controller-manager's `validatingadmissionpolicystatus`.
"""

from __future__ import annotations

import logging
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.service import ApiService
from edgelab.edgesite.store import Entry, Overrun
from edgelab.kube.interface import PatchType
from edgelab.objects.status import ApiError

log = logging.getLogger("edgesite.policies")

Obj = dict[str, Any]

GROUP, PLURAL = "admissionregistration.k8s.io", "validatingadmissionpolicies"
BUCKET = f"{GROUP}/{PLURAL}"
MANAGER = "validatingadmissionpolicy-status"


class PolicyStatus:
    """A module: follows the policies in the store and looks at each generation once."""

    name = "policystatus"

    def __init__(self, service: ApiService) -> None:
        self._service = service
        self._store = service.registry.store

    async def run(self) -> None:
        """Follow the policies until cancelled."""
        while True:
            with self._store.watch_now(BUCKET) as watch:
                for entry in list(self._store.entries(BUCKET)):
                    await self._look(entry)
                try:
                    while True:
                        for event in await watch.events():
                            if not event.deleted:
                                await self._look(event.entry)
                except Overrun:
                    log.info("too many changes of policies at once; looking at all of them again")

    async def _look(self, entry: Entry) -> None:
        if self._store.get(entry.key) is not entry:
            return
        policy = codec.decode(entry.data)
        generation = int(policy["metadata"].get("generation") or 0)
        if generation <= int((policy.get("status") or {}).get("observedGeneration") or 0):
            return
        from edgelab.edgesite.apiserver.policies.typechecking import warnings  # noqa: PLC0415 - rarely needed

        found = warnings(policy, self._service.registry.kinds)
        status: Obj = {"observedGeneration": generation, "typeChecking": {}}
        if found:
            status["typeChecking"]["expressionWarnings"] = found
        try:
            await self._apply(policy["metadata"]["name"], status)
        except ApiError as error:
            log.warning("status of policy %s: %s", entry.key.name, error)

    async def _apply(self, name: str, status: Obj) -> None:
        kind = self._service.registry.kinds.find(GROUP, "v1", PLURAL)
        assert kind is not None
        body = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "status": status,
        }
        context = Context(field_manager=MANAGER, force=True)
        await self._service.patch(Target(kind, "", name, "status"), body, PatchType.APPLY, context)
