"""Where the API server is and how to prove who asks: kubeconfig files and in-cluster configuration.

Facts: client-go `tools/clientcmd/api/v1` (the file) and `rest/config.go: InClusterConfig`.
Credentials that need a program to be run (`exec`, `auth-provider`) are refused by name.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from edgelab.daemon.errors import Fatal

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """One server and one identity. Certificates and keys are PEM; secrets stay out of `repr`."""

    server: str
    ca_pem: bytes | None = None
    insecure: bool = False
    tls_server_name: str | None = None
    certificate_pem: bytes | None = field(default=None, repr=False)
    key_pem: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    namespace: str = "default"

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS as the configuration asks for; None for a plain http server. Raises Fatal."""
        if urlsplit(self.server).scheme == "http":
            return None
        try:
            context = ssl.create_default_context(cadata=self.ca_pem.decode() if self.ca_pem else None)
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate_pem and self.key_pem:
                with _as_file(self.certificate_pem + b"\n" + self.key_pem) as path:
                    context.load_cert_chain(path)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise Fatal(
                f"kubeconfig for {self.server}: certificate, key or CA cannot be read: {error}"
            ) from None
        return context


def load(path: str | os.PathLike[str], *, context: str | None = None) -> Kubeconfig:
    """Read a kubeconfig file's current (or the named) context. Raises Fatal."""
    source = Path(path)
    try:
        document = yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise Fatal(f"kubeconfig {source}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Fatal(f"kubeconfig {source}: not valid YAML") from None
    if not isinstance(document, dict):
        raise Fatal(f"kubeconfig {source}: not a kubeconfig document")
    return parse(document, source=str(source), directory=source.absolute().parent, context=context)


def parse(
    document: Mapping[str, Any], *, source: str, directory: Path, context: str | None = None
) -> Kubeconfig:
    """Resolve a kubeconfig document; relative file names are below `directory`. Raises Fatal."""
    name = context or document.get("current-context") or ""
    if not name:
        raise Fatal(f"kubeconfig {source}: no current-context")
    chosen = _named(document, "context", name, source)
    cluster = _named(document, "cluster", chosen.get("cluster", ""), source)
    user = _named(document, "user", chosen["user"], source) if chosen.get("user") else {}
    for refused in ("exec", "auth-provider"):
        if user.get(refused):
            raise Fatal(
                f"kubeconfig {source}: user {chosen['user']!r} uses {refused!r}, which is not supported"
            )
    if not cluster.get("server"):
        raise Fatal(f"kubeconfig {source}: cluster {chosen.get('cluster')!r} has no server")
    token_file = user.get("tokenFile")
    return Kubeconfig(
        server=str(cluster["server"]).rstrip("/"),
        ca_pem=_material(cluster, "certificate-authority", directory, source),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=cluster.get("tls-server-name"),
        certificate_pem=_material(user, "client-certificate", directory, source),
        key_pem=_material(user, "client-key", directory, source),
        token=user.get("token"),
        token_file=directory / token_file if token_file else None,
        namespace=chosen.get("namespace") or "default",
    )


def in_cluster(
    environment: Mapping[str, str] | None = None, directory: Path = SERVICE_ACCOUNT_DIR
) -> Kubeconfig:
    """The configuration that a pod finds in its environment and service account. Raises Fatal."""
    environment = os.environ if environment is None else environment
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise Fatal("not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    try:
        ca_pem = (directory / "ca.crt").read_bytes()
        (directory / "token").read_bytes()
    except OSError as error:
        raise Fatal(f"not in a cluster: {error.filename}: {error.strerror}") from None
    namespace = directory / "namespace"
    return Kubeconfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca_pem=ca_pem,
        token_file=directory / "token",
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
    )


def _named(document: Mapping[str, Any], kind: str, name: str, source: str) -> Mapping[str, Any]:
    for entry in document.get(f"{kind}s") or ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
            found: Mapping[str, Any] = entry[kind]
            return found
    raise Fatal(f"kubeconfig {source}: no {kind} named {name!r}")


def _material(section: Mapping[str, Any], key: str, directory: Path, source: str) -> bytes | None:
    """Inline `<key>-data` (base64) wins over the file `<key>`, as in client-go."""
    if inline := section.get(f"{key}-data"):
        try:
            return base64.b64decode(inline, validate=True)
        except (binascii.Error, ValueError):
            raise Fatal(f"kubeconfig {source}: {key}-data is not base64") from None
    if not section.get(key):
        return None
    try:
        return (directory / str(section[key])).read_bytes()
    except OSError as error:
        raise Fatal(f"kubeconfig {source}: {key} {error.filename}: {error.strerror}") from None


@contextmanager
def _as_file(data: bytes) -> Any:
    """A path for `ssl`, which takes keys from files only; the key itself never reaches a disk."""
    descriptor = os.memfd_create("edgelab-client-key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
