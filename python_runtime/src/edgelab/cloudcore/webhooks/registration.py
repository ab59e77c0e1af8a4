"""Telling the API server of the webhooks, and that they are gone.

Objects: `kubeedge-crds-validate-webhook-configuration` and `kubeedge-mutate-webhook-configuration`, named as
KubeEdge's admission program does, and `spec.conversion` of the definitions of devices.
"""

from __future__ import annotations

import logging
from typing import Any

from edgelab.cloudcore.webhooks import hooks
from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.kube.resources import CRDS, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.webhooks")

VALIDATING = "kubeedge-crds-validate-webhook-configuration"
MUTATING = "kubeedge-mutate-webhook-configuration"
LABEL = "edgelab.io/webhooks"
"""On what CloudCore registered; objects without it are somebody else's and stay."""
CONVERTED = tuple(f"{kind}.devices.kubeedge.io" for kind in ("devices", "devicemodels", "devicestatuses"))
CHECK_SECONDS = 300.0


class Registration:
    """A module: registers the webhooks, and again when somebody has changed or removed that.

    `client` is of `hooks.client_config`.
    """

    name = "webhooks/registration"

    def __init__(self, api: KubeApi, client: Obj, *, conversion: bool, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._client = client
        self._conversion = conversion
        self._clock = clock

    async def run(self) -> None:
        """Register until cancelled; an error of the API only delays, and is told once."""
        delays = backoff.delays(1.0, CHECK_SECONDS)
        told = ""
        while True:
            try:
                await self.register()
                told, delays = "", backoff.delays(1.0, CHECK_SECONDS)
                await self._clock.sleep(CHECK_SECONDS)
            except (ApiError, Unreachable) as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("webhooks cannot be registered: %s; trying again", error)
                await self._clock.sleep(next(delays))

    async def register(self) -> None:
        """Bring all objects to what they should be. Raises ApiError and Unreachable."""
        await _ensure(self._api, VALIDATING_WEBHOOKS, VALIDATING, hooks.validating(self._client))
        await _ensure(self._api, MUTATING_WEBHOOKS, MUTATING, hooks.mutating(self._client))
        wanted = hooks.conversion(self._client) if self._conversion else None
        for name in CONVERTED:
            await _convert(self._api, name, wanted)


async def withdraw(api: KubeApi) -> None:
    """Remove what a CloudCore with webhooks has left: it would refuse every rule that nobody checks.

    Raises ApiError and Unreachable.
    """
    for name in CONVERTED:
        await _convert(api, name, None)
    # The last one is what tells a CloudCore that there is something to remove.
    for kind, name in ((MUTATING_WEBHOOKS, MUTATING), (VALIDATING_WEBHOOKS, VALIDATING)):
        present = await _read(api, kind, name)
        if present is not None and _is_ours(present):
            log.info("webhooks are disabled: removing %s", name)
            await api.delete(kind, name)


async def _ensure(api: KubeApi, kind: Resource, name: str, wanted: list[Obj]) -> None:
    present = await _read(api, kind, name)
    if present is None:
        body = {"metadata": {"name": name, "labels": {LABEL: "cloudcore"}}, "webhooks": wanted}
        await api.create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **body})
        log.info("registered %s", name)
    elif not (_is_ours(present) and _says(present.get("webhooks"), wanted)):
        await api.patch(kind, name, {"metadata": {"labels": {LABEL: "cloudcore"}}, "webhooks": wanted})
        log.info("registered %s again, as it was different", name)


async def _convert(api: KubeApi, name: str, wanted: Obj | None) -> None:
    """Set the conversion of a definition, or take ours away; a definition that is not there needs none."""
    crd = await _read(api, CRDS, name)
    if crd is None:
        return
    present = crd["spec"].get("conversion") or {}
    if wanted is None:
        if _is_ours(crd):
            plain = {"strategy": "None", "webhook": None}
            await api.patch(
                CRDS, name, {"metadata": {"labels": {LABEL: None}}, "spec": {"conversion": plain}}
            )
        return
    if not (_is_ours(crd) and _says(present, wanted)):
        labels = {"labels": {LABEL: "cloudcore"}}
        await api.patch(CRDS, name, {"metadata": labels, "spec": {"conversion": _exactly(present, wanted)}})
        log.info("%s is converted by this CloudCore", name)


def _exactly(present: Obj, wanted: Obj) -> Obj:
    """A merge patch: of URL and Service, the API server takes one only."""
    old = (present.get("webhook") or {}).get("clientConfig") or {}
    client = wanted["webhook"]["clientConfig"]
    gone = {key: None for key in old if key not in client}
    return {**wanted, "webhook": {**wanted["webhook"], "clientConfig": {**gone, **client}}}


async def _read(api: KubeApi, kind: Resource, name: str) -> Obj | None:
    try:
        return await api.get(kind, name)
    except ApiError as error:
        if error.code == 404:
            return None
        raise


def _is_ours(obj: Obj) -> bool:
    return LABEL in (obj["metadata"].get("labels") or {})


def _says(live: Any, wanted: Any) -> bool:
    """Whether `live` says what `wanted` says; the server's defaults may be there besides."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        if "clientConfig" in (live.keys() & wanted.keys()):
            same = live["clientConfig"].keys() == wanted["clientConfig"].keys()
            return same and all(_says(live.get(key), value) for key, value in wanted.items())
        return all(_says(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(live, list):
        return len(live) == len(wanted) and all(map(_says, live, wanted))
    return bool(live == wanted)
