"""Certificates for approved requests (`pkg/controller/certificates/{signer,authority}`).

The request's subject and alternative names are kept, its extensions are not; no certificate outlives
its authority.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID as Extended

from edgelab.daemon.clock import Clock
from edgelab.identity.ca import load_certificate, load_key
from edgelab.identity.requests import Request

LIFETIME = dt.timedelta(days=365)
SHORTEST = dt.timedelta(minutes=10)
BACKDATE = dt.timedelta(minutes=5)
SHORT = dt.timedelta(hours=8)
"""Shorter ones are not cut by the time that they are dated back."""
BASIC = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
EXTENDED = {
    "any": Extended.ANY_EXTENDED_KEY_USAGE,
    "server auth": Extended.SERVER_AUTH,
    "client auth": Extended.CLIENT_AUTH,
    "code signing": Extended.CODE_SIGNING,
    "email protection": Extended.EMAIL_PROTECTION,
    "s/mime": Extended.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": Extended.TIME_STAMPING,
    "ocsp signing": Extended.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class Signer:
    """Signs with one authority."""

    def __init__(self, ca_pem: bytes, key_pem: bytes, clock: Clock) -> None:
        self._ca = load_certificate(ca_pem)
        self._key = load_key(key_pem)
        self._clock = clock

    def sign(self, request: Request, usages: Iterable[str], seconds: int | None) -> bytes:
        """The certificate, PEM. Raises ValueError when the authority has expired."""
        usages = list(usages)
        start, end = self._validity(seconds)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.csr.subject)
            .issuer_name(self._ca.subject)
            .public_key(request.csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(_key_usage(usages), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        extended = sorted(
            {EXTENDED[usage] for usage in usages if usage in EXTENDED}, key=lambda oid: oid.dotted_string
        )
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        names = request.all_names
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _validity(self, seconds: int | None) -> tuple[dt.datetime, dt.datetime]:
        now, last = self._clock.now(), self._ca.not_valid_after_utc
        if now >= last:
            raise ValueError(f"the signer has expired: NotAfter={last}")
        lifetime = (
            LIFETIME if seconds is None else min(LIFETIME, max(SHORTEST, dt.timedelta(seconds=seconds)))
        )
        end = now + lifetime - (BACKDATE if lifetime >= SHORT else dt.timedelta())
        return now - BACKDATE, min(end, last)


def _key_usage(usages: list[str]) -> x509.KeyUsage:
    wanted = {BASIC[usage] for usage in usages if usage in BASIC}
    if wanted & {"encipher_only", "decipher_only"}:
        wanted.add("key_agreement")
    return x509.KeyUsage(**{name: name in wanted for name in dict.fromkeys(BASIC.values())})
