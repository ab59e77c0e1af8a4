"""What people want to know of a certificate: whose it is, for which names, how long it is good."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edgelab.identity.ca import subject_of


@dataclass(frozen=True, slots=True)
class Facts:
    """A certificate, as read. Times are UTC; `fingerprint` is the SHA-256 of its DER."""

    common_name: str
    organization: str
    not_before: dt.datetime
    not_after: dt.datetime
    addresses: list[str]
    dns_names: list[str]
    fingerprint: str

    def days_left(self, now: dt.datetime) -> int:
        """Whole days until it ends; negative once it has."""
        return (self.not_after - now) // dt.timedelta(days=1)


def facts(certificate: x509.Certificate) -> Facts:
    """What a certificate says."""
    addresses, names = alternative_names(certificate)
    return Facts(
        *subject_of(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        addresses,
        names,
        hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
    )


def alternative_names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """IP addresses and DNS names that a certificate is good for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return addresses, list(found.get_values_for_type(x509.DNSName))


def missing(certificate: x509.Certificate, addresses: Iterable[str], names: Iterable[str]) -> list[str]:
    """Which of the wanted addresses and names are not in it."""
    known_addresses, known_names = alternative_names(certificate)
    wanted = [str(ipaddress.ip_address(address)) for address in addresses]
    return [address for address in wanted if address not in known_addresses] + [
        name for name in names if name not in known_names
    ]
