"""The API server's part in handing out credentials, for the controllers that do it."""

from __future__ import annotations

from typing import Any

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.tokens import Tokens
from edgelab.edgesite.controllers.support.trust import Trust
from edgelab.edgesite.keys import Keys

Obj = dict[str, Any]


def trust(keys: Keys, tokens: Tokens, authorizer: Authorizer, clock: Clock) -> Trust:
    """What controllers may use of keys and authorization."""

    def sign(request: Obj) -> bytes:
        from edgelab.identity import requests, signing  # noqa: PLC0415 - rare

        spec = request["spec"]
        signer = signing.Signer(keys.ca_pem, keys.ca_key, clock)
        seconds = spec.get("expirationSeconds")
        return signer.sign(requests.checked(spec["request"]), spec.get("usages") or (), seconds)

    def may_create(spec: Obj, subresource: str) -> bool:
        user = User(spec.get("username") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "")
        group, plural = "certificates.k8s.io", "certificatesigningrequests"
        return authorizer.allows(user, Attributes("create", group, plural, subresource))

    return Trust(keys.ca_pem.decode(), tokens.legacy, sign, may_create)
