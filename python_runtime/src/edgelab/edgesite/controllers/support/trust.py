"""What controllers need of the API server to hand out credentials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trust:
    """`legacy_token` makes the token of a Secret for its account; `sign` the certificate (PEM) for a
    CertificateSigningRequest, ValueError when it cannot; `may_create` says whether who asked for one may
    create requests with a subresource such as `nodeclient`.
    """

    ca_pem: str
    legacy_token: Callable[[Obj, Obj], str]
    sign: Callable[[Obj], bytes]
    may_create: Callable[[Obj, str], bool]
