"""Whether a TLS Secret holds a certificate and its key, in the words of Go's `tls.X509KeyPair`."""

from __future__ import annotations

import base64
import re
from typing import Any

Obj = dict[str, Any]

SKIPPED = "after skipping PEM blocks of the following types:"
BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)


def warnings(data: Obj) -> list[str]:
    """Of the data of a Secret."""
    found = _missing("certificate", _blocks(data.get("tls.crt")), lambda name: name == "CERTIFICATE")
    if found:
        return [found]
    key = _missing("key", _blocks(data.get("tls.key")), lambda name: name.endswith("PRIVATE KEY"))
    return [key] if key else _pair(data)


def _blocks(value: Any) -> list[str]:
    text = base64.b64decode(value or "")
    return [match[1].decode() for match in BLOCK.finditer(text)]


def _missing(what: str, names: list[str], fits: Any) -> str:
    if not names:
        return f"tls: failed to find any PEM data in {what} input"
    if any(map(fits, names)):
        return ""
    if what == "certificate":
        if names[0].endswith("PRIVATE KEY"):
            return (
                "tls: failed to find certificate PEM data in certificate input, but did find a private key;"
                " PEM inputs may have been switched"
            )
        return f'tls: failed to find "CERTIFICATE" PEM block in certificate input {SKIPPED} {_list(names)}'
    if names == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input'
        f" {SKIPPED} {_list(names)}"
    )


def _list(names: list[str]) -> str:
    return f"[{' '.join(names)}]"


def _pair(data: Obj) -> list[str]:
    from cryptography import x509  # noqa: PLC0415 - rarely needed
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
        key = load_pem_private_key(base64.b64decode(data["tls.key"]), None)
    except (ValueError, TypeError):
        return []  # Go's parsers have words of their own for each damage
    if type(certificate.public_key()).__name__ != type(key.public_key()).__name__:
        return ["tls: private key type does not match public key type"]
    return (
        [] if certificate.public_key() == key.public_key() else ["tls: private key does not match public key"]
    )
