"""Who may use a rule from REST, and how often: bearer tokens, client certificates, rates.

The token of a rule is key `token` of the Secret that its annotation `edgelab.io/token-secret` names, in the
rule's namespace; a changed Secret counts from the next request on. A client certificate is one that the TLS
listener has verified (`edgelab.router.clientCAFile`). The original asks nobody.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgelab.cloudcore.router.errors import Undeliverable
from edgelab.cloudcore.router.rules import Rule
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj

FIELD = "token"
"""Of the Secret."""
BURST_SECONDS = 1.0
"""What a rate allows in so many seconds may come at once."""


class Denied(Undeliverable):
    """401 or 403; `challenge` is a value for WWW-Authenticate."""

    def __init__(self, status: int, text: str, challenge: str = "") -> None:
        super().__init__(status, text)
        self.challenge = challenge


class Pace:
    """A bucket of messages that fills with time."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._rate = 0.0
        self._tokens = 0.0
        self._at = 0.0

    def delay(self, rate: float) -> float:
        """Take one message out; seconds until it may go. A rate of 0 is none."""
        if rate <= 0:
            return 0.0
        self._fill(rate)
        self._tokens -= 1
        return max(0.0, -self._tokens / rate)

    def refusal(self, rate: float) -> float:
        """Seconds until a message would be let through; 0, and it is taken out, when it is now."""
        if rate <= 0:
            return 0.0
        self._fill(rate)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / rate

    def _fill(self, rate: float) -> None:
        now, most = self._now(), max(1.0, rate * BURST_SECONDS)
        if rate != self._rate:
            self._rate, self._tokens = rate, most
        else:
            self._tokens = min(most, self._tokens + (now - self._at) * rate)
        self._at = now


class Access:
    """Asked about each request."""

    def __init__(self, secrets: Mapping[Key, Obj]) -> None:
        self._secrets = secrets
        self._paces: dict[Key, Pace] = {}

    def check(self, rule: Rule, authorization: str, certificate: Mapping[str, Any] | None) -> None:
        """Raises Denied. `certificate` is what ssl's `getpeercert` gives, None for none."""
        options = rule.options
        if options.authentication == "token":
            self._check_token(rule, authorization)
        elif options.authentication == "certificate":
            if not certificate:
                raise Denied(401, "a client certificate is needed")
            names = _names(certificate)
            if options.certificate_names and not names.intersection(options.certificate_names):
                raise Denied(403, "this client certificate may not use the rule")

    def limit(self, rule: Rule) -> None:
        """Raises Undeliverable for more requests than the rule's rate."""
        if rule.options.rate <= 0:
            return
        seconds = self._paces.setdefault(rule.key, Pace()).refusal(rule.options.rate)
        if seconds > 0:
            text = f"rule {rule.name} takes {rule.options.rate:g} messages a second"
            raise Undeliverable(429, text, retry_after=math.ceil(seconds))

    def forget(self, rule: Rule) -> None:
        """The rule is gone."""
        self._paces.pop(rule.key, None)

    def _check_token(self, rule: Rule, authorization: str) -> None:
        wanted = self._token(rule)
        if wanted is None:
            raise Denied(403, f"rule {rule.name} has no usable token: see its Secret")
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Denied(401, "a bearer token is needed", "Bearer")
        if not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), wanted):
            raise Denied(401, "this bearer token is not the rule's", 'Bearer error="invalid_token"')

    def _token(self, rule: Rule) -> bytes | None:
        secret = self._secrets.get((rule.namespace, rule.options.token_secret)) or {}
        try:
            text = base64.b64decode((secret.get("data") or {}).get(FIELD) or "", validate=True)
        except (binascii.Error, ValueError):
            return None
        return text.strip() or None


def _names(certificate: Mapping[str, Any]) -> set[str]:
    """Common name and alternative names."""
    parts = (pair for relative in certificate.get("subject") or () for pair in relative)
    names = {value for key, value in parts if key == "commonName"}
    return names | {value for _, value in certificate.get("subjectAltName") or ()}
