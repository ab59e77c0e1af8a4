"""CertificateSigningRequests: how they begin. What is valid is decided in `certificates`, on the way in."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]


def default(obj: Obj) -> None:
    """A request without a signer is an error, not a guess."""
    obj.setdefault("spec", {})


REQUEST = Strategy(
    default=default,
    keeps_status_on_create=True,
    has_generation=False,
)
