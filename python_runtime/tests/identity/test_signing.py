"""Certificates for requests: what is kept of the request, and how long they are good."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgelab.identity import requests, signing
from edgelab.identity.ca import CertificateAuthority

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Clock:
    def __init__(self, now: dt.datetime = NOW) -> None:
        self._now = now

    def now(self) -> dt.datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


def request(*names: x509.GeneralName, common_name: str = "system:node:n", group: str = "system:nodes") -> str:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(csr.public_bytes(serialization.Encoding.PEM)).decode()


def sign(encoded: str, usages: list[str], seconds: int | None = None, *, years: int = 10) -> x509.Certificate:
    authority = CertificateAuthority.create("ca", lambda: NOW, years)
    signer = signing.Signer(authority.cert_pem, authority.key_pem, Clock())
    certificate = x509.load_pem_x509_certificate(signer.sign(requests.checked(encoded), usages, seconds))
    certificate.verify_directly_issued_by(authority.certificate)
    return certificate


def test_subject_names_and_usages_are_those_of_the_request() -> None:
    encoded = request(x509.DNSName("n"), x509.RFC822Name("a@b.c"))
    found = sign(encoded, ["digital signature", "key encipherment", "client auth", "server auth"])
    assert found.subject.rfc4514_string() == "CN=system:node:n,O=system:nodes"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("n"), x509.RFC822Name("a@b.c")]
    extended = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(extended) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


@pytest.mark.parametrize(
    ("seconds", "lifetime"),
    [
        (None, dt.timedelta(days=365, minutes=-5)),
        (600, dt.timedelta(minutes=10)),
        (60, dt.timedelta(minutes=10)),
        (7 * 3600, dt.timedelta(hours=7)),
        (8 * 3600, dt.timedelta(hours=8, minutes=-5)),
        (10**9, dt.timedelta(days=365, minutes=-5)),
    ],
)
def test_the_time_asked_for_is_kept_within_limits(seconds: int | None, lifetime: dt.timedelta) -> None:
    found = sign(request(), ["client auth"], seconds)
    assert found.not_valid_before_utc == NOW - dt.timedelta(minutes=5)
    assert found.not_valid_after_utc == NOW + lifetime


def test_no_certificate_outlives_its_authority() -> None:
    authority = CertificateAuthority.create("ca", lambda: NOW - dt.timedelta(days=360), 1)
    signer = signing.Signer(authority.cert_pem, authority.key_pem, Clock())
    data = signer.sign(requests.checked(request()), ["client auth"], None)
    end = x509.load_pem_x509_certificate(data).not_valid_after_utc
    assert end == authority.certificate.not_valid_after_utc
    late = signing.Signer(authority.cert_pem, authority.key_pem, Clock(end))
    with pytest.raises(ValueError, match="the signer has expired"):
        late.sign(requests.checked(request()), ["client auth"], None)


def test_a_request_with_a_wrong_signature_is_refused() -> None:
    raw = bytearray(base64.b64decode(request()))
    text = raw.decode().splitlines()
    der = bytearray(base64.b64decode("".join(text[1:-1])))
    der[-1] ^= 1
    pem = "\n".join([text[0], base64.encodebytes(bytes(der)).decode().strip(), text[-1]]) + "\n"
    with pytest.raises(requests.RequestError):
        requests.checked(base64.b64encode(pem.encode()).decode())
