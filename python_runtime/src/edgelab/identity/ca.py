"""A certificate authority in memory: ECDSA P-256, certificates for servers, clients and signing requests.

KubeEdge's own CA (keadm `pkg/security`, cloudhub `signcerts.go`) has CN `KubeEdge`; EdgeSite's has its own.
Keys are written as SEC1 (`EC PRIVATE KEY`), because KubeEdge uses those bytes as the join token's secret.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BACKDATE = dt.timedelta(minutes=5)
"""NotBefore lies this far in the past, so that a slightly slow clock does not refuse a fresh certificate."""

SERVER = 1
CLIENT = 2
_USAGES = {SERVER: ExtendedKeyUsageOID.SERVER_AUTH, CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}


class KeyPair(NamedTuple):
    """A certificate and its private key, both PEM."""

    cert_pem: bytes
    key_pem: bytes


class Validity(NamedTuple):
    """From when until when a certificate is good (UTC)."""

    start: dt.datetime
    end: dt.datetime


class RequestError(ValueError):
    """A signing request that cannot be read, or whose own signature is wrong."""


class CertificateError(ValueError):
    """A client certificate that must not be accepted; `x509` is what Go's `crypto/x509` says of it."""

    def __init__(self, message: str, x509: str) -> None:
        super().__init__(message)
        self.x509 = f"x509: {x509}"


def utc_now() -> dt.datetime:
    """The machine's clock, in UTC."""
    return dt.datetime.now(dt.UTC)


class CertificateAuthority:
    """Signs certificates. Nothing is stored: whoever made it keeps `cert_pem` and `key_pem`."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        now: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.certificate = certificate
        self._key = key
        self._now = now

    @classmethod
    def create(
        cls,
        common_name: str,
        clock: Callable[[], dt.datetime] = utc_now,
        years: int = 100,
    ) -> CertificateAuthority:
        """A fresh self-signed authority; `clock` gives the current time in UTC."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(common_name, "")
        validity = Validity(clock() - BACKDATE, clock() + dt.timedelta(days=365 * years))
        builder = _builder(name, name, key.public_key(), validity, (SERVER, CLIENT))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(authority=True), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key, clock)

    @classmethod
    def load(
        cls, cert_pem: bytes, key_pem: bytes, clock: Callable[[], dt.datetime] = utc_now
    ) -> CertificateAuthority:
        """From stored certificate and key, each PEM or DER. Raises ValueError for anything else."""
        key = load_key(key_pem)
        certificate = load_certificate(cert_pem)
        if certificate.public_key() != key.public_key():
            raise ValueError("the certificate authority's key does not belong to its certificate")
        return cls(certificate, key, clock)

    @property
    def cert_pem(self) -> bytes:
        """The authority's certificate, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def cert_der(self) -> bytes:
        """The authority's certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The authority's key, PEM (SEC1)."""
        return encode_key(self._key)

    @property
    def key_der(self) -> bytes:
        """The authority's key, DER (SEC1): the secret of KubeEdge's join tokens."""
        return encode_key(self._key, serialization.Encoding.DER)

    def issue(
        self,
        *,
        common_name: str,
        organization: str = "",
        dns_names: Iterable[str] = (),
        ip_addresses: Iterable[str] = (),
        server: bool = False,
        client: bool = False,
        days: int = 365,
    ) -> KeyPair:
        """A new key and a certificate for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [usage for usage, wanted in ((SERVER, server), (CLIENT, client)) if wanted]
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ip_addresses]
        certificate = self._certify(key.public_key(), _name(common_name, organization), usages, days, names)
        return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), encode_key(key))

    def sign(
        self,
        csr: bytes,
        common_name: str,
        organization: str,
        usages: Sequence[int] = (CLIENT,),
        days: int = 365,
        *,
        keep_names: bool = False,
    ) -> bytes:
        """The DER certificate for a signing request (PEM or DER); the subject is the caller's, not the CSR's.

        `usages` are Go's x509.ExtKeyUsage numbers: 1 server, 2 client. The request's alternative names
        are left out unless `keep_names`: who asks must not choose which hosts it can pass for.
        Raises RequestError.
        """
        request = _load_request(csr)
        key = request.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise RequestError("the certificate request has no elliptic-curve key")
        subject = _name(common_name, organization)
        certificate = self._certify(key, subject, usages, days, _names_of(request) if keep_names else [])
        return certificate.public_bytes(serialization.Encoding.DER)

    def verify_client(self, cert_der: bytes, *, at_any_time: bool = False) -> x509.Certificate:
        """Read a client certificate that this authority signed. Raises CertificateError, ValueError.

        With `at_any_time` the caller looks at its validity.
        """
        certificate = x509.load_der_x509_certificate(cert_der)
        if not issued_by(certificate, self.certificate):
            raise CertificateError(
                "the client certificate was not signed by this authority",
                "certificate signed by unknown authority",
            )
        if not at_any_time:
            _check_time(certificate, self._now())
        try:
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            return certificate
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
            raise CertificateError(
                "the client certificate is not meant for clients",
                "certificate specifies an incompatible key usage",
            )
        return certificate

    def _certify(
        self,
        key: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        usages: Sequence[int],
        days: int,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        now = self._now()
        validity = Validity(now - BACKDATE, now + dt.timedelta(days=days))
        builder = _builder(subject, self.certificate.subject, key, validity, usages)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(authority=False), critical=True)
        public = self._key.public_key()
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority has signed a certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def load_certificate(data: bytes) -> x509.Certificate:
    """Read a certificate, PEM or DER. Raises ValueError."""
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(data)
    return x509.load_der_x509_certificate(data)


def load_key(data: bytes) -> ec.EllipticCurvePrivateKey:
    """Read an elliptic-curve private key, PEM or DER. Raises ValueError."""
    if data.lstrip().startswith(b"-----BEGIN"):
        key = serialization.load_pem_private_key(data, password=None)
    else:
        key = serialization.load_der_private_key(data, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")
    return key


def encode_key(
    key: ec.EllipticCurvePrivateKey, encoding: serialization.Encoding = serialization.Encoding.PEM
) -> bytes:
    """A private key as SEC1 text or bytes, unencrypted."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def subject_of(certificate: x509.Certificate) -> tuple[str, str]:
    """(common name, first organization); an empty text for what is missing."""
    first = []
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        values = certificate.subject.get_attributes_for_oid(oid)
        first.append(str(values[0].value) if values else "")
    return first[0], first[1]


def _name(common_name: str, organization: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    validity: Validity,
    usages: Sequence[int],
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.start)
        .not_valid_after(validity.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    oids = [_USAGES[usage] for usage in usages if usage in _USAGES]
    return builder.add_extension(x509.ExtendedKeyUsage(oids), critical=False) if oids else builder


def _check_time(certificate: x509.Certificate, now: dt.datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if start <= now <= end:
        return
    bound = f"after {end:%Y-%m-%dT%H:%M:%SZ}" if now > end else f"before {start:%Y-%m-%dT%H:%M:%SZ}"
    raise CertificateError(
        "the client certificate is not valid at this time",
        f"certificate has expired or is not yet valid: current time {now:%Y-%m-%dT%H:%M:%SZ} is {bound}",
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load_request(csr: bytes) -> x509.CertificateSigningRequest:
    try:
        if csr.lstrip().startswith(b"-----BEGIN"):
            request = x509.load_pem_x509_csr(csr)
        else:
            request = x509.load_der_x509_csr(csr)
    except ValueError as error:
        raise RequestError("the certificate request cannot be read") from error
    if not request.is_signature_valid:
        raise RequestError("the certificate request's own signature is wrong")
    return request


def _names_of(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
