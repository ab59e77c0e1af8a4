"""Admission webhooks: which ones a request concerns, and what they answer (AdmissionReview v1).

Imported with the first configuration. matchPolicy Equivalent looks at all served versions of a resource.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.admissionmatching import Matcher
from edgelab.edgesite.apiserver.admissionrequests import Operation
from edgelab.edgesite.apiserver.authorization import Authorizer
from edgelab.edgesite.apiserver.custom import conversion
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.webhookcalls import CallError, post
from edgelab.edgesite.store import Store
from edgelab.objects.patch import PatchError, json_patch
from edgelab.objects.patch.json import same
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

log = logging.getLogger("edgesite")

GROUP = "admissionregistration.k8s.io"
MUTATING = f"{GROUP}/mutatingwebhookconfigurations"
VALIDATING = f"{GROUP}/validatingwebhookconfigurations"


class Hook(NamedTuple):
    """A webhook, the configuration that it is of, and its place among all."""

    configuration: str
    position: int
    spec: Obj


class FailedOpen(Exception):
    """A webhook could not be asked, and need not be."""


class Webhooks:
    """Calls what the configurations in the store name."""

    def __init__(self, store: Store, kinds: Kinds, authorizer: Authorizer) -> None:
        self._store = store
        self._authorizer = authorizer
        self._matcher = Matcher(store, kinds)

    async def mutate(self, operation: Operation, new: Obj | None) -> Obj | None:
        """The object as the mutating webhooks leave it. Raises ApiError.

        Those that asked for it see, in a second round, what later ones have changed.
        """
        called: list[Hook] = []
        again: list[Hook] = []
        for hook in self._hooks(MUTATING):
            before = new
            asked, new = await self._mutated(hook, operation, new, 0)
            if not same(new, before):
                again, called = again + called, []
            if asked and hook.spec.get("reinvocationPolicy") == "IfNeeded":
                called.append(hook)
        for hook in again:
            _, new = await self._mutated(hook, operation, new, 1)
        return new

    async def _mutated(
        self, hook: Hook, operation: Operation, new: Obj | None, turn: int
    ) -> tuple[bool, Obj | None]:
        """Whether a webhook was called, and the object as it leaves it."""
        found = await self._concerned(hook.spec, operation, new)
        if found is None:
            return False, new
        place = f"mutation.webhook.admission.k8s.io/round_{turn}_index_{hook.position}"
        changed = new
        try:
            changes = await self._ask(hook, operation, found, new, mutating=True)
            if changes:
                changed = await _patched(hook.spec["name"], operation, found, new, changes)
        except FailedOpen:
            operation.context.annotations[f"failed-open.{place}"] = hook.spec["name"]
        told = {"configuration": hook.configuration, "webhook": hook.spec["name"]}
        note = {**told, "mutated": not same(changed, new)}
        operation.context.annotations[place] = codec.encode(note).decode()
        return True, changed

    async def validate(self, operation: Operation, new: Obj | None) -> None:
        """Ask all validating webhooks at once. Raises the first refusal."""
        hooks = [
            (hook, found)
            for hook in self._hooks(VALIDATING)
            if (found := await self._concerned(hook.spec, operation, new)) is not None
        ]
        calls = (self._ask(hook, operation, found, new, mutating=False) for hook, found in hooks)
        results = await asyncio.gather(*calls, return_exceptions=True)
        for (hook, _), result in zip(hooks, results, strict=True):
            if isinstance(result, FailedOpen):
                place = f"validating.webhook.admission.k8s.io/round_0_index_{hook.position}"
                operation.context.annotations[f"failed-open.{place}"] = hook.spec["name"]
            elif isinstance(result, BaseException):
                raise result

    def _hooks(self, bucket: str) -> Iterator[Hook]:
        position = 0
        for entry in sorted(self._store.entries(bucket), key=lambda entry: entry.key.name):
            for spec in codec.decode(entry.data).get("webhooks") or ():
                yield Hook(entry.key.name, position, spec)
                position += 1

    async def _concerned(self, hook: Obj, operation: Operation, new: Obj | None) -> Kind | None:
        """In which version a webhook wants to see the object; None if it does not. Raises ApiError 500."""
        if operation.kind.group == GROUP:
            return None
        kind = self._matcher.kind_for(hook, "rules", operation, new)
        if kind is not None:
            await _make_visible(operation, kind, new)
        if kind is None or not hook.get("matchConditions"):
            return kind
        from edgelab.edgesite.apiserver.policies import webhookconditions  # noqa: PLC0415 - rarely needed

        return kind if webhookconditions.hold(hook, operation, kind, new, self._authorizer) else None

    async def _ask(
        self, hook: Hook, operation: Operation, kind: Kind, new: Obj | None, *, mutating: bool
    ) -> list[Any]:
        """The changes that a webhook wants, if it allows. Raises ApiError, FailedOpen."""
        spec, name = hook.spec, hook.spec["name"]
        if operation.context.dry_run and spec.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise ApiError(400, f'admission webhook "{name}" does not support dry run')
        request = _request(operation, kind, new)
        review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
        try:
            answer = await post(self._store, spec, codec.encode(review))
            response = _checked(answer, request["uid"], mutating=mutating)
            for key, value in (response.get("auditAnnotations") or {}).items():
                operation.context.annotations[f"{name}/{key}"] = str(value)
            for warning in response.get("warnings") or ():
                operation.context.warn(str(warning))
            if not response.get("allowed"):
                raise _denied(name, response.get("status") or response.get("result") or {})
            return _changes(response)
        except CallError as error:
            text = f'failed calling webhook "{name}": {error}'
            if spec.get("failurePolicy") == "Ignore":
                log.warning("%s", text)
                raise FailedOpen from error
            raise _internal(text) from error


def _changes(response: Obj) -> list[Any]:
    """The patch. Raises CallError."""
    try:
        found = msgspec.json.decode(base64.b64decode(response.get("patch") or "W10="))
        if isinstance(found, list):
            return found
        problem = "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
    except ValueError as error:
        problem = str(error)
    raise CallError(f"received undecodable patch in webhook response: {problem}")


async def _make_visible(operation: Operation, kind: Kind, new: Obj | None) -> None:
    """Have objects converted that a webhook shall see in another version; showing them must not wait.

    Raises ApiError 500.
    """
    if operation.sub is not None or not conversion.is_converted(kind):
        return
    both = (new, operation.old)
    foreign = [codec.encode(obj) for obj in both if obj and obj.get("apiVersion") != kind.api_version]
    try:
        await conversion.prepare(kind, lambda: foreign)
    except ApiError as error:
        raise _internal(error.message) from error


async def _patched(name: str, operation: Operation, kind: Kind, new: Obj | None, changes: list[Any]) -> Obj:
    """The object with the changes, in its own version. Raises ApiError 500."""
    if new is None:
        text = f'admission webhook "{name}" attempted to modify the object, which is not'
        raise _internal(f"{text} supported for this operation")
    try:
        result: Obj = json_patch(operation.shown(new, kind), changes)
    except (ValueError, PatchError) as error:
        raise _internal(str(error)) from error
    if kind.custom is not None and new["apiVersion"] != kind.api_version:
        converter = kind.custom.definition.converter
        if converter is not None:
            [result] = await converter.convert([result], new["apiVersion"])
    return {**result, "apiVersion": new["apiVersion"], "kind": new["kind"]}


def _internal(text: str) -> ApiError:
    """NewInternalError."""
    return ApiError(500, f"Internal error occurred: {text}", details={"causes": [{"message": text}]})


def _request(operation: Operation, kind: Kind, new: Obj | None) -> Obj:
    return {
        "uid": str(uuid.uuid4()),
        **operation.request(kind),
        "object": operation.shown(new, kind),
        "oldObject": operation.shown(operation.old, kind),
    }


def _checked(answer: Any, uid: str, *, mutating: bool) -> Obj:
    """VerifyAdmissionResponse. Raises CallError."""
    found = answer if isinstance(answer, dict) else {}
    response = found.get("response")
    if not isinstance(response, dict):
        raise CallError("received invalid webhook response: webhook response was absent")
    if response.get("uid") != uid:
        text = f'expected response.uid="{uid}", got "{response.get("uid") or ""}"'
        raise CallError(f"received invalid webhook response: {text}")
    kind = f"{found.get('apiVersion') or ''}, Kind={found.get('kind') or ''}"
    if kind != "admission.k8s.io/v1, Kind=AdmissionReview":
        text = f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {kind}"
        raise CallError(f"received invalid webhook response: {text}")
    if not mutating:
        for field in ("patch", "patchType"):
            if response.get(field):
                text = f"validating webhook may not return response.{field}"
                raise CallError(f"received invalid webhook response: {text}")
    if bool(response.get("patch")) != bool(response.get("patchType")):
        first, second = ("patch", "patchType") if response.get("patch") else ("patchType", "patch")
        text = f"webhook returned response.{first} but not response.{second}"
        raise CallError(f"received invalid webhook response: {text}")
    if response.get("patchType", "JSONPatch") != "JSONPatch":
        text = f'webhook returned invalid response.patchType of "{response["patchType"]}"'
        raise CallError(f"received invalid webhook response: {text}")
    return response


def _denied(name: str, status: Obj) -> ApiError:
    """ToStatusErr."""
    text = f'admission webhook "{name}" denied the request'
    why = status.get("message") or status.get("reason") or ""
    code = int(status.get("code") or 0)
    message = f"{text}: {why}" if why else f"{text} without explanation"
    return ApiError.from_status(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            **status,
            "status": "Failure",
            "message": message,
            "code": code if code >= 400 else 400,
        }
    )
