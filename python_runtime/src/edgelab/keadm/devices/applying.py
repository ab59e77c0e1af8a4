"""Creating a Device, or changing in it what a manifest names."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.keadm.applying import Applied
from edgelab.keadm.devices.checking import problems
from edgelab.keadm.devices.merging import merged
from edgelab.keadm.devices.twins import model_name
from edgelab.keadm.report import Failure
from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import DEVICE_MODELS, DEVICES
from edgelab.objects.status import ApiError

ATTEMPTS = 5
FIRST, CAP = 0.1, 1.0
"""Others write Devices too. After a conflict it is read and merged again, after so many seconds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a Device, and what its author should know."""

    applied: Applied
    warnings: list[str] = field(default_factory=list)


async def apply_device(
    api: HttpClient, manifest: Obj, *, purge: bool, check: bool, clock: Clock = SYSTEM
) -> Outcome:
    """Bring a Device to what the manifest says. Raises Failure naming a field, ApiError, Unreachable."""
    _refuse_others(manifest)
    pauses = backoff.delays(FIRST, CAP)
    for _ in range(ATTEMPTS - 1):
        try:
            return await _attempt(api, manifest, purge=purge, check=check)
        except ApiError as error:
            if error.code != 409:
                raise
        await clock.sleep(next(pauses))
    return await _attempt(api, manifest, purge=purge, check=check)


def _refuse_others(manifest: Obj) -> None:
    if (manifest["apiVersion"], manifest["kind"]) != (DEVICES.api_version, DEVICES.kind):
        given = f"{manifest['kind']} of {manifest['apiVersion']}"
        raise Failure(
            f"{given}: expected {DEVICES.kind} of {DEVICES.api_version}; for others there is keadm apply"
        )


async def _attempt(api: HttpClient, manifest: Obj, *, purge: bool, check: bool) -> Outcome:
    name = manifest["metadata"]["name"]
    namespace = manifest["metadata"].get("namespace") or "default"
    live = await _find(api, DEVICES, name, namespace)
    bare = {"metadata": {"namespace": namespace}} if live is None else live
    wanted = merged(bare, manifest, purge=purge)
    warnings = await _checked(api, wanted, manifest)
    if live is None:
        await _write(api, "POST", DEVICES.path(namespace), wanted, check=check)
        return Outcome(Applied(DEVICES.kind, name, namespace, "created", None, _shown(wanted)), warnings)
    sides = (_shown(live), _shown(wanted))
    if wanted == live:
        return Outcome(Applied(DEVICES.kind, name, namespace, "unchanged", *sides), warnings)
    await _write(api, "PUT", DEVICES.path(namespace, name), wanted, check=check)
    return Outcome(Applied(DEVICES.kind, name, namespace, "changed", *sides), warnings)


async def _checked(api: HttpClient, wanted: Obj, given: Obj) -> list[str]:
    """Warnings. Raises Failure for what cannot be; of what was there before, only `given` is judged."""
    key = f"{wanted['metadata']['namespace']}/{wanted['metadata']['name']}"
    name = model_name(wanted)
    if not name:
        raise Failure(f"device {key}: spec.deviceModelRef.name: a device needs a model", field="model")
    model = await _find(api, DEVICE_MODELS, name, wanted["metadata"]["namespace"])
    found = problems(given.get("spec") or {}, model)
    if found:
        told = "; ".join(f"{where}: {what}" for where, what in found)
        raise Failure(
            f"device {key}: {told}", problems=[{"field": where, "message": what} for where, what in found]
        )
    missing = f"DeviceModel {wanted['metadata']['namespace']}/{name}"
    return [] if model else [f"device {key}: there is no {missing} yet, so nothing was compared with it"]


async def _write(api: HttpClient, method: str, path: str, device: Obj, *, check: bool) -> None:
    """Strictly: a field that the definition does not have is refused, else each run would be a change."""
    params = {"fieldValidation": "Strict", "fieldManager": "keadm", **({"dryRun": "All"} if check else {})}
    typed = {"apiVersion": DEVICES.api_version, "kind": DEVICES.kind, **device}
    try:
        await api.request(method, path, params=params, body=typed)
    except ApiError as error:
        if not (check and error.code == 404):  # the definition, or the namespace, may be yet to come
            raise


async def _find(api: HttpClient, resource: Resource, name: str, namespace: str) -> Obj | None:
    try:
        return await api.get(resource, name, namespace)
    except ApiError as error:
        if error.code == 404:
            return None
        raise


def _shown(device: Obj) -> Obj:
    """What a person or a diff is shown of it."""
    return {"labels": device["metadata"].get("labels") or {}, "spec": device.get("spec") or {}}
