"""Projected volumes: several sources in one directory."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, names
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, required, too_long, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import downward
from edgelab.edgesite.apiserver.strategies.pod.volumetypes import key_to_path, mode

Obj = dict[str, Any]

KEY_TYPES = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"]
CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")
MAX_CERTIFICATE_SECONDS = 91 * 86400
MAX_KUBERNETES_CERTIFICATE_SECONDS = 86400


class _Paths:
    """The files seen so far; each may occur once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: set[str] = set()

    def add(self, where: str, shown: str) -> list[Cause]:
        if where in self._seen:
            return [bad(self._path, shown, "conflicting duplicate paths")]
        self._seen.add(where)
        return []


def source(volume: Obj, path: str) -> list[Cause]:
    """ProjectedVolumeSource."""
    causes, paths = mode(volume, "defaultMode", path), _Paths(path)
    for position, item in enumerate(volume.get("sources") or ()):
        field = f"{path}.sources[{position}]"
        number = 0
        for name, check in _CHECKS.items():
            if name in item:
                number += 1
                causes += check(item[name], path, f"{field}.{name}", paths)
        if number > 1:
            causes.append(forbidden(field, "may not specify more than 1 volume type per source"))
    return causes


def _keys(part: Obj, root: str, path: str, paths: _Paths) -> list[Cause]:
    name = part.get("name") or ""
    causes = [] if name else [required(f"{path}.name")]
    for position, item in enumerate(part.get("items") or ()):
        causes += key_to_path(item, f"{path}.items[{position}]")
        if item.get("path"):
            causes += paths.add(item["path"], name)
    return causes


def _downward(part: Obj, root: str, path: str, paths: _Paths) -> list[Cause]:
    causes: list[Cause] = []
    for item in part.get("items") or ():
        causes += downward.file(item, path)
        if item.get("path"):
            causes += paths.add(item["path"], item["path"])
    return causes


def _token(part: Obj, root: str, path: str, paths: _Paths) -> list[Cause]:
    causes, seconds, where = [], part.get("expirationSeconds") or 0, part.get("path") or ""
    if seconds < 600:
        text = "may not specify a duration less than 10 minutes"
        causes.append(bad(f"{path}.expirationSeconds", seconds, text))
    if seconds > 1 << 32:
        text = "may not specify a duration larger than 2^32 seconds"
        causes.append(bad(f"{path}.expirationSeconds", seconds, text))
    return causes + (checks.local_path(where, f"{root}.path") if where else [required(f"{root}.path")])


def _bundle(part: Obj, root: str, path: str, paths: _Paths) -> list[Cause]:
    name, signer, where, causes = part.get("name"), part.get("signerName"), part.get("path") or "", []
    if name is not None and signer is not None:
        value = layouts.shown("core.ClusterTrustBundleProjection", part)
        causes.append(bad(path, value, "only one of name and signerName may be used"))
    elif name is not None:
        causes += _bundle_name(part, name, path)
    elif signer is not None:
        if not signer:
            causes.append(required(f"{path}.signerName", "must be a valid signer name"))
        causes += signer_name(signer, f"{path}.signerName")
        causes += checks.label_selector(part.get("labelSelector"), f"{path}.labelSelector")
    else:
        causes.append(required(path, "either name or signerName must be specified"))
    causes += [] if where else [required(f"{path}.path")]
    return causes + checks.local_path(where, f"{path}.path") + paths.add(where, where)


def _bundle_name(part: Obj, name: str, path: str) -> list[Cause]:
    causes = [] if name else [required(f"{path}.name", "must be a valid object name")]
    rest = name.rpartition(":")[2]
    causes += [
        bad(f"{path}.name", name, f"not a valid clustertrustbundlename: {text}")
        for text in names.subdomain(rest)
    ]
    if part.get("labelSelector") is not None:
        shown = checks.shown_selector(part["labelSelector"])
        causes.append(bad(f"{path}.labelSelector", shown, "labelSelector must be unset if name is specified"))
    return causes


def _certificate(part: Obj, root: str, path: str, paths: _Paths) -> list[Cause]:
    signer, kind, seconds = (
        part.get("signerName") or "",
        part.get("keyType"),
        part.get("maxExpirationSeconds"),
    )
    causes = signer_name(signer, f"{path}.signerName")
    if kind not in KEY_TYPES:
        causes.append(unsupported(f"{path}.keyType", kind, KEY_TYPES))
    host = signer.partition("/")[0]
    kubernetes = host == "kubernetes.io" or host.endswith(".kubernetes.io")
    limit = MAX_KUBERNETES_CERTIFICATE_SECONDS if kubernetes else MAX_CERTIFICATE_SECONDS
    if seconds is not None and not 3600 <= seconds <= limit:
        text = "if provided, maxExpirationSeconds must be " + (">= 3600" if seconds < 3600 else f"<= {limit}")
        causes.append(bad(f"{path}.maxExpirationSeconds", seconds, text))
    found = [(name, part[name]) for name in CERTIFICATE_PATHS if part.get(name)]
    for name, where in found:
        causes += checks.local_path(where, f"{path}.{name}") + paths.add(where, where)
    if not found:
        text = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        causes.append(required(path, text))
    return causes


def signer_name(value: str, path: str) -> list[Cause]:
    """`example.com/signer-name`."""
    if not value:
        return [required(path)]
    parts = value.split("/")
    if len(parts) != 2:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [bad(path, value, text)]
    domain, rest = parts
    causes = [too_long(path, 253)] if len(domain) > 253 else []
    causes += _parts(domain, path, names.label)
    if "." not in domain:
        causes.append(bad(path, domain, "should be a domain with at least two segments separated by dots"))
    causes += _parts(rest, path, names.subdomain)
    return causes + ([too_long(path, 571)] if len(value) > 571 else [])


def _parts(value: str, path: str, check: names.Check) -> list[Cause]:
    for part in value.split("."):
        problems = check(part)
        if problems:
            return [bad(path, value, f'validating label "{part}": {text}') for text in problems]
    return []


_CHECKS = {
    "secret": _keys,
    "configMap": _keys,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _bundle,
    "podCertificate": _certificate,
}
