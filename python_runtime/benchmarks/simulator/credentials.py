"""Client certificates of simulated nodes, from one test authority that the cloud trusts."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from edgelab.identity.ca import CertificateAuthority, issued_by, load_certificate


def authority(directory: Path) -> CertificateAuthority:
    """`rootCA.crt` and `rootCA.key` of `directory`, made when they are missing."""
    cert, key = directory / "rootCA.crt", directory / "rootCA.key"
    if cert.exists():
        return CertificateAuthority.load(cert.read_bytes(), key.read_bytes())
    ca = CertificateAuthority.create("KubeEdge")
    directory.mkdir(parents=True, exist_ok=True)
    cert.write_bytes(ca.cert_pem)
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(ca.key_pem)
    return ca


def client_context(ca: CertificateAuthority, node: str) -> ssl.SSLContext:
    """TLS as the node has it; its key never reaches a disk. The server is for `Trust` to look at.

    KubeEdge's edges show their own certificate only. OpenSSL would look for the authority among those that it
    knows, check the signature and show it too, for every connection; so it knows none.
    """
    pair = ca.issue(common_name=f"system:node:{node}", organization="system:nodes", client=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    descriptor = os.memfd_create("simulated-node", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pair.cert_pem + b"\n" + pair.key_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


class Trust:
    """Whether a server's certificate is of the authority. It is read once: all connections show the same."""

    def __init__(self, ca: CertificateAuthority) -> None:
        self._ca = ca.certificate
        self._good: set[bytes] = set()

    def check(self, certificate: bytes) -> None:
        """Look at a certificate (DER). Raises ConnectionError for one of somebody else."""
        if certificate in self._good:
            return
        if not issued_by(load_certificate(certificate), self._ca):
            raise ConnectionError("the server's certificate is not of the authority")
        self._good.add(certificate)
