"""What a request asks for, and what each signer of Kubernetes accepts (`pkg/apis/certificates/helpers.go`).

Only `cryptography` is needed, so that controllers and admission share it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

SERVING = "kubernetes.io/kubelet-serving"
NODE_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
CLIENT = "kubernetes.io/kube-apiserver-client"
LEGACY = "kubernetes.io/legacy-unknown"
SIGNERS = (CLIENT, NODE_CLIENT, SERVING)
PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(.+?)-----END \1-----", re.DOTALL)
WITHOUT_RSA = {"digital signature"}
BASE = {"digital signature", "key encipherment"}
NODES = ["system:nodes"]
NODE_PREFIX = "system:node:"
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
NO_SANS = (
    (x509.DNSName, "DNS"),
    (x509.RFC822Name, "Email"),
    (x509.IPAddress, "IP"),
    (x509.UniformResourceIdentifier, "URI"),
)


class RequestError(ValueError):
    """A request that cannot be read; the text is what kube-apiserver says."""


class Request(NamedTuple):
    """A certificate request."""

    csr: x509.CertificateSigningRequest
    common_name: str
    organizations: list[str]
    all_names: list[x509.GeneralName]

    def names(self, kind: type[x509.GeneralName]) -> list[x509.GeneralName]:
        """Alternative names of one type."""
        return [name for name in self.all_names if isinstance(name, kind)]


def parse(encoded: str) -> Request:
    """Read `spec.request`: PEM in base64. Raises RequestError."""
    try:
        found = PEM.search(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"illegal base64 data: {error}") from error
    if found is None or found[1] != b"CERTIFICATE REQUEST":
        raise RequestError("PEM block type must be CERTIFICATE REQUEST")
    try:
        csr = x509.load_pem_x509_csr(found[0])
        names = [str(item.value) for item in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        groups = [str(item.value) for item in csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        alternative = _alternative_names(csr)
    except UNREADABLE as error:
        raise RequestError(f"asn1: structure error: {error}") from error
    return Request(csr, names[-1] if names else "", groups, alternative)


def checked(encoded: str) -> Request:
    """Read a request whose signature is right. Raises RequestError."""
    request = parse(encoded)
    try:
        valid = request.csr.is_signature_valid
    except UNREADABLE as error:
        raise RequestError("x509: cannot verify signature: algorithm unimplemented") from error
    if not valid:
        raise RequestError("x509: signature verification failed")
    return request


def _alternative_names(csr: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def refusal(signer: str, request: Request, usages: Iterable[str]) -> str:
    """Why a signer of Kubernetes will not sign; empty if it will."""
    if signer == SERVING:
        return serving_refusal(request, set(usages))
    if signer == NODE_CLIENT:
        return node_client_refusal(request, set(usages))
    return client_refusal(list(usages)) if signer == CLIENT else ""


def serving_refusal(request: Request, usages: set[str]) -> str:
    """Certificates that kubelets serve with name their addresses."""
    if request.organizations != NODES:
        return "subject organization is not system:nodes"
    if not request.names(x509.DNSName) and not request.names(x509.IPAddress):
        return "DNS or IP subjectAltName is required"
    if request.names(x509.RFC822Name):
        return "Email subjectAltNames are not allowed"
    if request.names(x509.UniformResourceIdentifier):
        return "URI subjectAltNames are not allowed"
    wrong = _wrong_usages(usages, "server auth")
    return wrong or _wrong_name(request)


def node_client_refusal(request: Request, usages: set[str]) -> str:
    """Certificates that kubelets come with name nothing but the node."""
    if request.organizations != NODES:
        return "subject organization is not system:nodes"
    for kind, title in NO_SANS:
        if request.names(kind):
            return f"{title} subjectAltNames are not allowed"
    return _wrong_name(request) or _wrong_usages(usages, "client auth")


def client_refusal(usages: list[str]) -> str:
    """Any client certificate."""
    for usage in usages:
        if usage not in (*BASE, "client auth"):
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _wrong_usages(usages: set[str], needed: str) -> str:
    if usages in (BASE | {needed}, WITHOUT_RSA | {needed}):
        return ""
    return f"usages did not match [{' '.join(sorted(BASE | {needed}))}]"


def _wrong_name(request: Request) -> str:
    if request.common_name.startswith(NODE_PREFIX):
        return ""
    return "subject common name does not begin with system:node:"
