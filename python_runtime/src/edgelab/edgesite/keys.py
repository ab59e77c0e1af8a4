"""EdgeSite's keys and certificates: a CA of its own, a server certificate, the administrator's."""

from __future__ import annotations

import datetime as dt
import logging
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgesite import clientcerts
from edgelab.identity.ca import CertificateAuthority, KeyPair

log = logging.getLogger("edgesite.keys")

SERVER_DAYS = 365
ADMIN_DAYS = 3650
RENEW_BEFORE = dt.timedelta(days=60)
RENEWAL_SECONDS = 6 * 3600.0
DNS_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class Keys:
    """`ca_pem` and `ca_key` are the CA's, `token_key` the key for service account tokens (PEM)."""

    ca_pem: bytes
    ca_key: bytes
    server: KeyPair
    admin: KeyPair
    token_key: bytes


def load_or_create(directory: Path, addresses: list[str], clock: Clock) -> Keys:
    """The keys below `directory`, created when absent; the server certificate is issued anew when it is
    about to expire or lacks one of the addresses. Raises Fatal.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(directory, clock)
        server = _server(directory, authority, addresses, clock)
        admin = _pair(directory, "admin") or _issue_admin(directory, authority)
        token_key = _token_key(directory / "service-account.key")
    except (OSError, ValueError) as error:
        raise Fatal(f"cannot use the keys in {directory}: {error}") from error
    return Keys(authority.cert_pem, authority.key_pem, server, admin, token_key)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _authority(directory: Path, clock: Clock) -> CertificateAuthority:
    certificate, key = directory / "ca.crt", directory / "ca.key"
    if certificate.exists() and key.exists():
        return CertificateAuthority.load(certificate.read_bytes(), key.read_bytes(), clock.now)
    authority = CertificateAuthority.create("edgesite-ca", clock.now)
    write_private(key, authority.key_pem)
    write_private(certificate, authority.cert_pem)
    return authority


def _pair(directory: Path, name: str) -> KeyPair | None:
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    if not (certificate.exists() and key.exists()):
        return None
    return KeyPair(certificate.read_bytes(), key.read_bytes())


def _store(directory: Path, name: str, pair: KeyPair) -> KeyPair:
    write_private(directory / f"{name}.key", pair.key_pem)
    write_private(directory / f"{name}.crt", pair.cert_pem)
    return pair


def _issue_admin(directory: Path, authority: CertificateAuthority) -> KeyPair:
    pair = authority.issue(
        common_name="system:admin", organization="system:masters", client=True, days=ADMIN_DAYS
    )
    return _store(directory, "admin", pair)


def _server(directory: Path, authority: CertificateAuthority, addresses: list[str], clock: Clock) -> KeyPair:
    pair = _pair(directory, "server")
    if pair is not None and _still_good(pair.cert_pem, addresses, clock.now()):
        return pair
    pair = authority.issue(
        common_name="edgesite",
        dns_names=DNS_NAMES,
        ip_addresses=addresses,
        server=True,
        days=SERVER_DAYS,
    )
    return _store(directory, "server", pair)


def _still_good(cert_pem: bytes, addresses: list[str], now: dt.datetime) -> bool:
    certificate = x509.load_pem_x509_certificate(cert_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    present = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return set(addresses) <= present and now + RENEW_BEFORE < certificate.not_valid_after_utc


def _token_key(path: Path) -> bytes:
    if path.exists():
        return path.read_bytes()
    key = ec.generate_private_key(ec.SECP256R1())
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(path, data)
    return data


def server_context(directory: Path) -> ssl.SSLContext:
    """TLS for the server: client certificates are welcome, whose they are is judged with each request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(directory / "server.crt", directory / "server.key")
    context.load_verify_locations(directory / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    clientcerts.ask(context)
    return context


class Renewal:
    """A module: keeps the certificate of a running server fresh; new connections see the new one.

    Works on the TLS context of the server and the files below `directory`. A failure is logged and the
    renewal tried again, for there are weeks left.
    """

    name = "certificate"

    def __init__(self, directory: Path, addresses: list[str], context: ssl.SSLContext, clock: Clock) -> None:
        self._directory = directory
        self._addresses = addresses
        self._context = context
        self._clock = clock

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(RENEWAL_SECONDS)
            try:
                load_or_create(self._directory, self._addresses, self._clock)
                self._context.load_cert_chain(self._directory / "server.crt", self._directory / "server.key")
            except (Fatal, OSError) as error:
                log.error("cannot renew the server's certificate: %s", error)
