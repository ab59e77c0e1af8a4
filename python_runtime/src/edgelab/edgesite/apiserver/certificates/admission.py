"""What happens to a CertificateSigningRequest on its way into the store: who asked is written down, who
decides or signs must be allowed to (`pkg/registry/certificates`, `plugin/pkg/admission/certificates`).
"""

from __future__ import annotations

from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver import objectmeta
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer, refused
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.invalid import Cause, invalid
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

GROUP, PLURAL, KIND = "certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest"
CLIENT = "kubernetes.io/kube-apiserver-client"
MASTERS = "system:masters"
REQUESTER = ("username", "uid", "groups", "extra")


class CertificateRequests:
    """Called for every write of a request. Raises ApiError 403, 422."""

    def __init__(self, authorizer: Authorizer, clock: Clock) -> None:
        self._authorizer = authorizer
        self._clock = clock

    def create(self, obj: Obj, requester: Obj) -> None:
        """Write down who asks, check what is asked for; nothing is decided yet."""
        from edgelab.edgesite.apiserver.certificates import validation  # noqa: PLC0415 - rare
        from edgelab.identity import requests  # noqa: PLC0415 - rare

        spec = {key: value for key, value in (obj.get("spec") or {}).items() if key not in REQUESTER}
        obj["spec"] = {**spec, **requester}
        obj["status"] = {}
        _check(obj, [*objectmeta.of_kind(obj, GROUP, KIND), *validation.problems(obj)])
        if spec.get("signerName") == CLIENT:
            groups = requests.parse(spec["request"]).organizations
            if MASTERS in groups:
                raise _refused(obj, f"use of {CLIENT} signer with {MASTERS} group is not allowed")

    def update(self, new: Obj, old: Obj, subresource: str, user: User) -> None:
        """The request itself stays as it was; decisions and certificates come through subresources."""
        from edgelab.edgesite.apiserver.certificates import validation  # noqa: PLC0415 - rare

        new["spec"] = old["spec"]
        if not subresource:
            new["status"] = old.get("status") or {}
            return
        if subresource == "status":
            _keep_decisions(new, old)
        _stamp(new, old, rfc3339(self._clock.now()))
        _check(new, validation.change_problems(new, old, subresource))
        signer = old["spec"].get("signerName") or ""
        if subresource == "approval":
            self._may(user, "approve", signer, new)
        elif (new.get("status") or {}) != (old.get("status") or {}):
            self._may(user, "sign", signer, new)

    def _may(self, user: User, verb: str, signer: str, obj: Obj) -> None:
        names = (signer, f"{signer.partition('/')[0]}/*")
        wanted = (Attributes(verb, GROUP, "signers", name=name) for name in names)
        if not any(self._authorizer.allows(user, item) for item in wanted):
            raise _refused(obj, f'user not permitted to {verb} requests with signerName "{signer}"')


def _check(obj: Obj, causes: list[Cause]) -> None:
    if causes:
        raise invalid(KIND, GROUP, obj["metadata"].get("name") or "", causes)


def _refused(obj: Obj, why: str) -> ApiError:
    return refused(GROUP, PLURAL, obj["metadata"].get("name") or "", why)


def _keep_decisions(new: Obj, old: Obj) -> None:
    """A write of the status leaves the decisions as they are, as long as it has as many of them."""
    before = (old.get("status") or {}).get("conditions") or []
    after = (new.get("status") or {}).get("conditions") or []
    for kind in ("Approved", "Denied"):
        held = [item for item in before if item.get("type") == kind]
        places = [place for place, item in enumerate(after) if item.get("type") == kind]
        if len(held) == len(places):
            for place, item in zip(places, held, strict=True):
                after[place] = item


def _stamp(new: Obj, old: Obj, now: str) -> None:
    before = (old.get("status") or {}).get("conditions") or []
    for item in (new.get("status") or {}).get("conditions") or []:
        item["lastUpdateTime"] = item.get("lastUpdateTime") or now
        if not item.get("lastTransitionTime"):
            same = (
                b
                for b in before
                if (b.get("type"), b.get("status")) == (item.get("type"), item.get("status"))
            )
            item["lastTransitionTime"] = next(
                (b["lastTransitionTime"] for b in same if b.get("lastTransitionTime")), now
            )
