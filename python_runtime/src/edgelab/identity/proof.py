"""Proof of owning a certificate's key, where TLS does not ask for one (QUIC).

What is signed is made by `edgelab.protocol.session.opening`; here are only keys and certificates.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgelab.identity.ca import CertificateAuthority, load_key


class ProofError(ValueError):
    """Nothing is proven; `str()` says why."""


class Prover:
    """A node's certificates and key. Raises ValueError when they cannot be read or do not fit."""

    def __init__(self, chain_pem: bytes, key_pem: bytes) -> None:
        certificates = x509.load_pem_x509_certificates(chain_pem)
        self._key = load_key(key_pem)
        if certificates[0].public_key() != self._key.public_key():
            raise ValueError("the key does not belong to the certificate")
        self.chain = [found.public_bytes(serialization.Encoding.DER) for found in certificates]
        """DER, the node's own first."""

    def sign(self, statement: bytes) -> bytes:
        """The signature (ECDSA, SHA-256, DER)."""
        return self._key.sign(statement, ec.ECDSA(hashes.SHA256()))


def verified(
    authority: CertificateAuthority, chain: list[bytes], signature: bytes, statement: bytes
) -> x509.Certificate:
    """The certificate whose owner signed; its time is left to the caller. Raises ProofError."""
    if not chain:
        raise ProofError("no certificate was shown")
    try:
        certificate = authority.verify_client(chain[0], at_any_time=True)
    except ValueError as error:
        raise ProofError(str(error)) from error
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ProofError("the certificate has no elliptic-curve key")
    try:
        key.verify(signature, statement, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise ProofError(
            "the signature is not by the key of the certificate, or not for this connection"
        ) from None
    return certificate


def is_for_servers(certificate: x509.Certificate) -> bool:
    """Whether a certificate may be a server's (RFC 5280, 4.2.1.12)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usage
