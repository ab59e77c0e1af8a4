"""Keys and signing requests for serving certificates, and signatures of tokens (for EdgeCore's children)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from edgelab.daemon.errors import Fatal
from edgelab.identity import files
from edgelab.identity.ca import encode_key

HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


def request(common_name: str, group: str, addresses: Iterable[str], key_file: Path) -> bytes:
    """Make a key, write it to `key_file` (0600), and give the PEM of a request for it. Raises OSError."""
    key = ec.generate_private_key(ec.SECP256R1())
    files.write(key_file, encode_key(key))
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    signed = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
        key, hashes.SHA256()
    )
    return signed.public_bytes(serialization.Encoding.PEM)


def verify(token: str, key_files: Sequence[Path]) -> None:
    """Check the signature of a JWT (RS, PS and ES families) with any of the keys. Raises Fatal."""
    head, _, rest = token.partition(".")
    body, _, signature = rest.partition(".")
    try:
        algorithm = str(json.loads(_decoded(head)).get("alg"))
        raw = _decoded(signature)
    except (ValueError, AttributeError) as error:
        raise Fatal(f"this is no JWT: {error}") from None
    if algorithm[:2] not in ("RS", "PS", "ES") or algorithm[2:] not in HASHES:
        raise Fatal(f"signatures by {algorithm!r} are not accepted")
    for path in key_files:
        if _fits(_public_key(path), algorithm, f"{head}.{body}".encode(), raw):
            return
    raise Fatal("no key of serviceAccountKeyFiles made this signature")


def _fits(key: Any, algorithm: str, data: bytes, signature: bytes) -> bool:
    digest = HASHES[algorithm[2:]]
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm[:2] in ("RS", "PS"):
            pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
            key.verify(signature, data, padding.PKCS1v15() if algorithm[0] == "R" else pss, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm[:2] == "ES":
            half = len(signature) // 2
            pair = (int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
            key.verify(encode_dss_signature(*pair), data, ec.ECDSA(digest))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _public_key(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}") from None
    try:
        if b"PRIVATE KEY" in data:
            return serialization.load_pem_private_key(data, None).public_key()
        if b"BEGIN CERTIFICATE" in data:
            return x509.load_pem_x509_certificate(data).public_key()
        return serialization.load_pem_public_key(data)
    except (ValueError, TypeError) as error:
        raise Fatal(f"{path} holds no key that can be read: {error}") from None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
