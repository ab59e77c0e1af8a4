"""Validation of CertificateSigningRequests (`pkg/apis/certificates/validation`)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cryptography import x509

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, forbidden, required, unsupported
from edgelab.identity.requests import LEGACY, PEM, RequestError, checked

Obj = dict[str, Any]

USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
DECISIONS = ("Approved", "Denied")
FINAL = (*DECISIONS, "Failed")
MIN_SECONDS = 600
CONDITIONS = "status.conditions"
EXCLUSIVE = "Approved and Denied conditions are mutually exclusive"


def problems(obj: Obj, old: Obj | None = None) -> list[Cause]:
    """What is wrong with a request; what was wrong with the old one already is tolerated."""
    spec = obj.get("spec") or {}
    causes = []
    try:
        checked(spec.get("request") or "")
    except RequestError as error:
        causes.append(bad("spec.request", spec.get("request"), str(error)))
    usages = spec.get("usages") or []
    if not usages:
        causes.append(required("spec.usages"))
    if old is None:
        causes += _usage_problems(usages)
    causes += _signer_problems(spec.get("signerName") or "", old)
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < MIN_SECONDS:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        causes.append(bad("spec.expirationSeconds", seconds, text))
    causes += _condition_problems((obj.get("status") or {}).get("conditions") or [])
    certificate = (obj.get("status") or {}).get("certificate") or ""
    if old is None or certificate != ((old.get("status") or {}).get("certificate") or ""):
        text = _certificate_problem(certificate)
        if text:
            causes.append(bad("status.certificate", "<certificate data>", text))
    return causes


def change_problems(new: Obj, old: Obj, subresource: str) -> list[Cause]:
    """What is wrong with a change, by the subresource that it came through."""
    causes = problems(new, old)
    for kind in FINAL:
        if len(_of(new, kind)) < len(_of(old, kind)):
            causes.append(forbidden(CONDITIONS, f'updates may not remove a condition of type "{kind}"'))
    if subresource != "approval":
        for kind in DECISIONS:
            before, after = _of(old, kind), _of(new, kind)
            if len(after) > len(before):
                causes.append(forbidden(CONDITIONS, f'updates may not add a condition of type "{kind}"'))
            elif len(after) == len(before) and after != before:
                causes.append(forbidden(CONDITIONS, f'updates may not modify a condition of type "{kind}"'))
    had, has = ((obj.get("status") or {}).get("certificate") or "" for obj in (old, new))
    if had != has:
        if subresource != "status":
            causes.append(forbidden("status.certificate", "updates may not set certificate content"))
        elif had:
            text = "updates may not modify existing certificate content"
            causes.append(forbidden("status.certificate", text))
    return causes


def _of(obj: Obj, kind: str) -> list[Obj]:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return [condition for condition in conditions if condition.get("type") == kind]


def _usage_problems(usages: list[str]) -> list[Cause]:
    causes = []
    for position, usage in enumerate(usages):
        if usage not in USAGES:
            causes.append(unsupported(f"spec.usages[{position}]", usage, list(USAGES)))
    for position, usage in enumerate(usages):
        if usage in usages[:position]:
            causes.append(duplicate(f"spec.usages[{position}]", usage))
    return causes


def _signer_problems(name: str, old: Obj | None) -> list[Cause]:
    """`ValidateSignerName`: a domain and a path."""
    field = "spec.signerName"
    if name == LEGACY and old is None:
        return [bad(field, name, "the legacy signerName is not allowed via this API version")]
    if not name:
        return [required(field)]
    parts = name.split("/")
    if len(parts) != 2:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [bad(field, name, text)]
    domain, path = parts
    causes = _label_problems(field, domain, names.label)
    if "." not in domain:
        causes.append(bad(field, domain, "should be a domain with at least two segments separated by dots"))
    return causes + _label_problems(field, path, names.subdomain)


def _label_problems(field: str, segment: str, check: names.Check) -> list[Cause]:
    """Those of the first label that has any."""
    problems_of = (
        [bad(field, segment, f'validating label "{label}": {text}') for text in check(label)]
        for label in segment.split(".")
    )
    return next(filter(None, problems_of), [])


def _condition_problems(conditions: list[Obj]) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, condition in enumerate(conditions):
        kind, status, field = (
            condition.get("type") or "",
            condition.get("status") or "",
            f"{CONDITIONS}[{position}]",
        )
        if not kind:
            causes.append(required(f"{field}.type"))
        allowed = ["True"] if kind in FINAL else ["False", "True", "Unknown"]
        if not status:
            causes.append(required(f"{field}.status"))
        elif status not in allowed:
            causes.append(unsupported(f"{field}.status", status, list(allowed)))
        if kind in DECISIONS and seen & set(DECISIONS) - {kind}:
            causes.append(bad(CONDITIONS, kind, EXCLUSIVE))
        if kind in seen:
            causes.append(duplicate(f"{field}.type", kind))
        seen.add(kind)
    return causes


def _certificate_problem(encoded: str) -> str:
    if not encoded:
        return ""
    try:
        blocks = PEM.findall(base64.b64decode(encoded))
        for title, _ in blocks:
            if title != b"CERTIFICATE":
                return f'only CERTIFICATE PEM blocks are allowed, found "{title.decode()}"'
        if not blocks:
            return "must contain at least one CERTIFICATE PEM block"
        x509.load_pem_x509_certificates(base64.b64decode(encoded))
    except (binascii.Error, ValueError) as error:
        return f"x509: malformed certificate: {error}"
    return ""
