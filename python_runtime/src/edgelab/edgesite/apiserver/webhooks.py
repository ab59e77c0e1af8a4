"""Admission webhooks: which ones a request concerns, and what they answer (AdmissionReview v1).

Imported with the first configuration. matchPolicy Equivalent looks at all served versions of a resource.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.admissionmatching import Matcher
from edgelab.edgesite.apiserver.admissionrequests import Operation
from edgelab.edgesite.apiserver.authorization import Authorizer
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


class Webhooks:
    """Calls what the configurations in the store name."""

    def __init__(self, store: Store, kinds: Kinds, authorizer: Authorizer) -> None:
        self._store = store
        self._authorizer = authorizer
        self._matcher = Matcher(store, kinds)

    async def mutate(self, operation: Operation, new: Obj | None) -> Obj | None:
        """The object as the mutating webhooks leave it. Raises ApiError."""
        called: list[tuple[str, Obj]] = []
        for name, hook in self._hooks(MUTATING):
            before = new
            new = await self._mutated(name, hook, operation, new)
            if not same(new, before):
                new = await self._again(called, operation, new)
            if hook.get("reinvocationPolicy") == "IfNeeded":
                called.append((name, hook))
        return new

    async def _again(
        self, called: list[tuple[str, Obj]], operation: Operation, new: Obj | None
    ) -> Obj | None:
        """Those that asked for it see what later ones changed, once."""
        for name, hook in called:
            new = await self._mutated(name, hook, operation, new)
        called.clear()
        return new

    async def _mutated(self, name: str, hook: Obj, operation: Operation, new: Obj | None) -> Obj | None:
        found = self._concerned(hook, operation, new)
        if found is None:
            return new
        response = await self._ask(hook, operation, found, new)
        if response is None or not response.get("patch"):
            return new
        try:
            changes = msgspec.json.decode(base64.b64decode(response["patch"]))
            result: Obj = json_patch(operation.shown(new, found), changes) if new is not None else {}
        except (ValueError, PatchError) as error:
            raise ApiError(500, f"Internal error occurred: {error}") from error
        if new is None:
            text = f'admission webhook "{hook["name"]}" attempted to modify the object, which is not'
            raise ApiError(500, f"Internal error occurred: {text} supported for this operation")
        return {**result, "apiVersion": new["apiVersion"], "kind": new["kind"]}

    async def validate(self, operation: Operation, new: Obj | None) -> None:
        """Ask all validating webhooks at once. Raises the first refusal."""
        calls = [
            self._ask(hook, operation, found, new)
            for _, hook in self._hooks(VALIDATING)
            if (found := self._concerned(hook, operation, new)) is not None
        ]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _hooks(self, bucket: str) -> Iterator[tuple[str, Obj]]:
        for entry in sorted(self._store.entries(bucket), key=lambda entry: entry.key.name):
            for hook in codec.decode(entry.data).get("webhooks") or ():
                yield entry.key.name, hook

    def _concerned(self, hook: Obj, operation: Operation, new: Obj | None) -> Kind | None:
        """In which version a webhook wants to see the object; None if it does not."""
        if operation.kind.group == GROUP:
            return None
        kind = self._matcher.kind_for(hook, "rules", operation, new)
        if kind is None or not hook.get("matchConditions"):
            return kind
        from edgelab.edgesite.apiserver.policies import webhookconditions  # noqa: PLC0415 - rarely needed

        return kind if webhookconditions.hold(hook, operation, kind, new, self._authorizer) else None

    async def _ask(self, hook: Obj, operation: Operation, kind: Kind, new: Obj | None) -> Obj | None:
        """The response of a webhook, if it allows; None if it failed and may. Raises ApiError."""
        name = hook["name"]
        if operation.context.dry_run and hook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            text = f'admission webhook "{name}" does not support dry run'
            raise ApiError(400, text)
        request = _request(operation, kind, new)
        review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
        try:
            answer = await post(self._store, hook, codec.encode(review))
            response = _checked(answer, request["uid"])
        except CallError as error:
            text = f'failed calling webhook "{name}": {error}'
            if hook.get("failurePolicy") == "Ignore":
                log.warning("%s", text)
                return None
            raise ApiError(500, f"Internal error occurred: {text}") from error
        operation.context.warnings += [str(warning) for warning in response.get("warnings") or ()]
        if not response.get("allowed"):
            raise _denied(name, response.get("status") or response.get("result") or {})
        return response


def _request(operation: Operation, kind: Kind, new: Obj | None) -> Obj:
    return {
        "uid": str(uuid.uuid4()),
        **operation.request(kind),
        "object": operation.shown(new, kind),
        "oldObject": operation.shown(operation.old, kind),
    }


def _checked(answer: Any, uid: str) -> Obj:
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
