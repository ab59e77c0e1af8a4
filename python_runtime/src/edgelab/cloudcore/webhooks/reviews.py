"""AdmissionReview and ConversionReview: the questions of an API server, and the form of the answers.

Facts: k8s.io/api/admission/v1 and k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from edgelab.kube.interface import Obj
from edgelab.objects.deviceversions.convert import GROUP, convert
from edgelab.objects.deviceversions.fields import LayoutError, mapping


class Refused(Exception):
    """An object that must not be stored; the message says what to change."""


class Request(msgspec.Struct):
    """What an admission review asks. `object` is None for deletions, `oldObject` for creations."""

    uid: str
    operation: str = "CREATE"
    namespace: str = ""
    name: str = ""
    object: dict[str, Any] | None = None
    oldObject: dict[str, Any] | None = None

    def metadata(self) -> Obj:
        """The object's metadata. Raises LayoutError when it is no object."""
        return mapping(self.object or {}, "metadata", self.name)

    def spec(self) -> Obj:
        """The object's spec. Raises LayoutError when it is no object."""
        return mapping(self.object or {}, "spec", self.name)

    def is_stored_anew(self) -> bool:
        """Whether there is a new spec to check: of a new object, or one that was changed."""
        if self.object is None or self.operation not in ("CREATE", "UPDATE"):
            return False
        return self.operation == "CREATE" or self.object.get("spec") != (self.oldObject or {}).get("spec")


class Conversion(msgspec.Struct):
    """What a conversion review asks: all objects in one version."""

    uid: str
    desiredAPIVersion: str
    objects: list[dict[str, Any]] = []


class AdmissionReview(msgspec.Struct):
    """The question of an admission webhook."""

    request: Request


class ConversionReview(msgspec.Struct):
    """The question of a conversion webhook."""

    request: Conversion


Validator = Callable[[Request], Awaitable[Sequence[str] | None]]
"""Returns warnings, if there are any, or raises Refused or LayoutError."""

Mutator = Callable[[Request], list[Obj]]
"""The operations of a JSON patch (RFC 6902) that bring the object into shape."""


async def validated(body: bytes, check: Validator) -> Obj:
    """The answer of a validating webhook. Raises msgspec.DecodeError for what is no review."""
    request = msgspec.json.decode(body, type=AdmissionReview).request
    try:
        warnings = await check(request)
    except (Refused, LayoutError) as error:
        status = {"code": 422, "reason": "Invalid", "message": str(error)}
        return _admission({"uid": request.uid, "allowed": False, "status": status})
    answer: Obj = {"uid": request.uid, "allowed": True}
    return _admission(answer | ({"warnings": list(warnings)} if warnings else {}))


def mutated(body: bytes, change: Mutator) -> Obj:
    """The answer of a mutating webhook. Raises msgspec.DecodeError for what is no review."""
    request = msgspec.json.decode(body, type=AdmissionReview).request
    answer: Obj = {"uid": request.uid, "allowed": True}
    if patch := change(request):
        text = base64.b64encode(msgspec.json.encode(patch)).decode()
        answer |= {"patchType": "JSONPatch", "patch": text}
    return _admission(answer)


def converted(body: bytes) -> Obj:
    """The answer of the conversion webhook: all objects or none. Raises msgspec.DecodeError."""
    request = msgspec.json.decode(body, type=ConversionReview).request
    answer: Obj = {"uid": request.uid}
    try:
        group, _, version = request.desiredAPIVersion.rpartition("/")
        if group != GROUP:
            raise LayoutError(f"there is no conversion to {request.desiredAPIVersion}")
        answer["convertedObjects"] = [convert(obj, version) for obj in request.objects]
        answer["result"] = {"status": "Success"}
    except LayoutError as error:
        answer["result"] = {"status": "Failure", "message": str(error)}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": answer}


def _admission(response: Obj) -> Obj:
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
