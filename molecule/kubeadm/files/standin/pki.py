"""Keys and certificates, by openssl."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from standin.api import write

PKI = "/etc/kubernetes/pki"
SHARED = ("ca", "front-proxy-ca", "etcd/ca", "sa")
"""What a further control plane gets from the first: kubeadm's copycerts."""


def openssl(*words: str, stdin: bytes = b"", **environment: str) -> bytes:
    """Run openssl. Raises SystemExit with what it said."""
    done = subprocess.run(
        ["openssl", *words], input=stdin, capture_output=True, env={**os.environ, **environment}, check=False
    )
    if done.returncode:
        raise SystemExit(f"error: openssl {words[0]}: {done.stderr.decode()}")
    return done.stdout


def new_key() -> bytes:
    """An elliptic key, PEM."""
    return openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def make_cluster_keys() -> None:
    """The authorities of a new cluster, and the key that signs tokens of service accounts."""
    for name in SHARED:
        key = new_key()
        write(f"{PKI}/{name}.key", key)
        if name == "sa":
            write(f"{PKI}/sa.pub", openssl("pkey", "-pubout", stdin=key), 0o644)
            continue
        subject = {"ca": "kubernetes", "etcd/ca": "etcd-ca"}.get(name, name)
        words = (
            "req",
            "-x509",
            "-new",
            "-key",
            f"{PKI}/{name}.key",
            "-days",
            "3650",
            "-subj",
            f"/CN={subject}",
        )
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
        write(f"{PKI}/{name}.crt", openssl(*words, *usage), 0o644)


def request(key: bytes, subject: str) -> bytes:
    """A certificate request for a key, PEM."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(key)
        file.flush()
        return openssl("req", "-new", "-key", file.name, "-subj", subject)


def sign(csr: bytes, days: int = 365) -> bytes:
    """A client certificate by the cluster's CA, PEM."""
    with tempfile.NamedTemporaryFile() as extensions:
        extensions.write(b"extendedKeyUsage=clientAuth\nkeyUsage=critical,digitalSignature\n")
        extensions.flush()
        words = ("x509", "-req", "-CA", f"{PKI}/ca.crt", "-CAkey", f"{PKI}/ca.key", "-days", str(days))
        return openssl(*words, "-extfile", extensions.name, stdin=csr)


def client(subject: str) -> tuple[bytes, bytes]:
    """A certificate and its key, signed on a host that has the CA's key."""
    key = new_key()
    return sign(request(key, subject)), key


def shared_files() -> list[str]:
    """Names of the files that control planes share, relative to PKI."""
    names = [f"{name}{end}" for name in SHARED for end in (".crt", ".key", ".pub")]
    return [name for name in names if Path(PKI, name).exists()]


def encrypted(data: bytes, key: str, *, back: bool = False) -> bytes:
    """Under the certificate key, or back again. The real kubeadm takes AES-GCM; openssl's tool has CBC."""
    words = ["enc", "-aes-256-cbc", "-pbkdf2", "-pass", "env:CERTIFICATE_KEY"]
    return openssl(*words, *(["-d"] if back else []), stdin=data, CERTIFICATE_KEY=key)
