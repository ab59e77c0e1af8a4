"""The certificate of a connection's other end, and whether it lets a node in."""

from __future__ import annotations

import datetime as dt
import http
import ssl
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography import x509

from edgelab.cloudcore.cloudhub.pki import USER_PREFIX
from edgelab.daemon.clock import SYSTEM, Clock, rfc3339
from edgelab.identity.ca import subject_of

NO_NAME = "NodeNameMissing"
WRONG_NAME = "NodeNameMismatch"
EXPIRED = "CertificateExpired"
REVOKED = "CertificateRevoked"
FULL = "NodeLimitReached"
REFUSALS = frozenset({WRONG_NAME, EXPIRED, REVOKED, FULL})
"""Reasons that are over once the node is let in."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""As OpenSSL writes them."""
CHECK_NO_TIME = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for."""


class Peer(NamedTuple):
    """What a certificate says that TLS has verified against the authority. Times are UTC."""

    name: str
    serial: int
    start: dt.datetime
    end: dt.datetime

    @property
    def node(self) -> str:
        """The node that it is for; empty when it is for none."""
        return self.name.removeprefix(USER_PREFIX) if self.name.startswith(USER_PREFIX) else ""


def peer_of(certificate: Mapping[str, Any]) -> Peer:
    """Read what `SSLSocket.getpeercert()` gives. Raises KeyError and ValueError for what is none."""
    names = [value for part in certificate["subject"] for key, value in part if key == "commonName"]
    start, end = _moment(certificate["notBefore"]), _moment(certificate["notAfter"])
    return Peer(str(names[0]) if names else "", int(certificate["serialNumber"], 16), start, end)


def _moment(text: str) -> dt.datetime:
    """`Nov 28 01:36:01 2026 GMT`: what `ssl.cert_time_to_seconds` reads in six times as long."""
    month, day, time, year, zone = text.split()
    hour, minute, second = time.split(":")
    if zone != "GMT":
        raise ValueError(f"{text!r} is not in GMT")
    number = MONTHS.index(month) + 1
    return dt.datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=dt.UTC)


def peer_in(certificate: x509.Certificate) -> Peer:
    """The same of a certificate that was read otherwise."""
    name, _ = subject_of(certificate)
    return Peer(
        name, certificate.serial_number, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    )


class Refusal(NamedTuple):
    """Why a connection is not let in: for the node (a status and a text) and for people (`reason`)."""

    status: http.HTTPStatus
    reason: str
    text: str


class Door:
    """Decides who may come in. Facts and differences: docs/reference/protocol.md."""

    def __init__(
        self,
        revoked: Callable[[Peer], str | None],
        full: Callable[[str], str | None],
        clock: Clock = SYSTEM,
        *,
        header: str = "node_id",
    ) -> None:
        """`revoked` and `full` give a text when they are against it; nodes say who they are in `header`."""
        self._header = header
        self._revoked = revoked
        self._full = full
        self._clock = clock

    def refusal(self, claimed: list[str], peer: Peer) -> Refusal | None:
        """Why a connection with these values of the header and this certificate is refused, or None."""
        if len(claimed) != 1 or not claimed[0]:
            text = f"the header {self._header} must be there once; it is there {len(claimed)} times"
            return Refusal(http.HTTPStatus.BAD_REQUEST, NO_NAME, text)
        if peer.name != USER_PREFIX + claimed[0]:
            text = f"the header {self._header} says {claimed[0]!r}, but the certificate is for {peer.name!r}"
            return Refusal(http.HTTPStatus.FORBIDDEN, WRONG_NAME, text)
        if text := self._too_late(peer):
            return Refusal(http.HTTPStatus.FORBIDDEN, EXPIRED, text)
        if why := self._revoked(peer):
            return Refusal(http.HTTPStatus.FORBIDDEN, REVOKED, why)
        if why := self._full(claimed[0]):
            return Refusal(http.HTTPStatus.SERVICE_UNAVAILABLE, FULL, why)
        return None

    def _too_late(self, peer: Peer) -> str:
        now = self._clock.now()
        if now > peer.end:
            return f"the certificate ended at {rfc3339(peer.end)}; let the node join again with a new token"
        if now < peer.start:
            return f"the certificate begins at {rfc3339(peer.start)}; is the clock of one side wrong?"
        return ""
