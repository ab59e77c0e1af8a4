"""Client certificates of simulated nodes, from one test authority that the cloud trusts."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from edgelab.identity.ca import CertificateAuthority


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
    """TLS as the node has it; its key never reaches a disk."""
    pair = ca.issue(common_name=f"system:node:{node}", organization="system:nodes", client=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca.cert_der)
    descriptor = os.memfd_create("simulated-node", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pair.cert_pem + b"\n" + pair.key_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
