"""Discovery documents: /api, /apis, the lists of resources, and the aggregated form."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver.apiservices import priority
from edgelab.edgesite.apiserver.kinds import Kind, Kinds

Obj = dict[str, Any]

CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
OLD_STORAGE = {
    "CustomResourceDefinition": "v1beta1",
    "VolumeAttributesClass": "v1beta1",
    **dict.fromkeys(("DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"), "v1beta2"),
}
"""What kube-apiserver 1.35 stores in an older version than it serves."""
# subresource -> (group, version, kind, verbs); an empty kind is the resource's own
SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "approval": ("", "", "", ("get", "patch", "update")),
    "attach": ("", "v1", "PodAttachOptions", ("create", "get")),
    "binding": ("", "v1", "Binding", ("create",)),
    "ephemeralcontainers": ("", "", "", ("get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "exec": ("", "v1", "PodExecOptions", ("create", "get")),
    "finalize": ("", "", "", ("update",)),
    "log": ("", "", "", ("get",)),
    "portforward": ("", "v1", "PodPortForwardOptions", ("create", "get")),
    "proxy": ("", "v1", "ProxyOptions", ("create", "delete", "get", "patch", "update")),
    "resize": ("", "", "", ("get", "patch", "update")),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "status": ("", "", "", ("get", "patch", "update")),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}


def _groups(kinds: Kinds) -> list[tuple[str, list[str]]]:
    """Named groups by their priority, then by name."""
    found = [(name, versions) for name, versions in kinds.groups().items() if name]
    return sorted(found, key=lambda pair: (-priority(pair[0]), pair[0]))


def core_versions(address: str) -> Obj:
    """GET /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group(name: str, versions: list[str]) -> Obj:
    """GET /apis/<group>."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": listed,
        "preferredVersion": listed[0],
    }


def group_list(kinds: Kinds) -> Obj:
    """GET /apis."""
    found = [group(name, versions) for name, versions in _groups(kinds)]
    for item in found:
        del item["kind"], item["apiVersion"]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def resource_list(kinds: Kinds, name: str, version: str) -> Obj:
    """GET /apis/<group>/<version>."""
    resources = [entry for kind in kinds.in_version(name, version) for entry in _entries(kind)]
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if name else {}),
        "groupVersion": f"{name}/{version}" if name else version,
        "resources": resources,
    }


def _entries(kind: Kind) -> Iterator[Obj]:
    entry: Obj = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.resource.namespaced,
        "kind": kind.name,
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if {"create", "get"} <= set(kind.verbs):
        entry["storageVersionHash"] = storage_version_hash(kind)
    yield entry
    for name in kind.subresources:
        in_group, version, other, verbs = SUBRESOURCES[name]
        sub: Obj = {
            "name": f"{kind.plural}/{name}",
            "singularName": "",
            "namespaced": kind.resource.namespaced,
        }
        if other and version and (in_group, version) != (kind.group, kind.resource.version):
            sub |= {"group": in_group, "version": version}
        yield sub | {"kind": _kind_of(kind, name, other), "verbs": list(verbs)}


def _verbs(kind: Kind) -> list[str]:
    """What can be done, in the order in which the two servers list it."""
    return list(kind.verbs if kind.custom is None else CUSTOM_VERBS)


def _kind_of(kind: Kind, subresource: str, other: str) -> str:
    """The kind of a subresource; a proxy has one for each resource."""
    return f"{kind.name}ProxyOptions" if subresource == "proxy" else other or kind.name


def storage_version_hash(kind: Kind) -> str:
    """Of the version that the resource is stored in (`discovery.StorageVersionHash`)."""
    group, _, version = kind.storage_api_version.rpartition("/")
    version = OLD_STORAGE.get(kind.name, version)
    digest = hashlib.sha256(f"{group}/{version}/{kind.name}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def aggregated(kinds: Kinds, *, core: bool, version: str) -> Obj:
    """The aggregated form (a version of apidiscovery.k8s.io) of /api or /apis."""
    groups = [("", ["v1"])] if core else _groups(kinds)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [_aggregated_group(kinds, name, versions) for name, versions in groups],
    }


def _aggregated_group(kinds: Kinds, name: str, versions: list[str]) -> Obj:
    metadata: Obj = {"name": name} if name else {}
    listed = [
        {
            "version": version,
            "resources": [_aggregated(kind) for kind in kinds.in_version(name, version)],
            "freshness": "Current",
        }
        for version in versions
    ]
    return {"metadata": metadata, "versions": listed}


def _response_kind(kind: Kind, subresource: str, own: Obj) -> Obj:
    group, version, other, _ = SUBRESOURCES[subresource]
    if not other:
        return own
    if (group, version) == (kind.group, kind.resource.version):
        group = version = ""
    return {"group": group, "version": version, "kind": _kind_of(kind, subresource, other)}


def _aggregated(kind: Kind) -> Obj:
    def response(in_group: str, version: str, name: str) -> Obj:
        return {"group": in_group, "version": version, "kind": name}

    own = response(kind.group, kind.resource.version, kind.name)
    if kind.custom is None:
        own = response("", "", kind.name)  # kube-apiserver leaves out what the place says already
    found: Obj = {
        "resource": kind.plural,
        "responseKind": own,
        "scope": "Namespaced" if kind.resource.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    if kind.subresources:
        found["subresources"] = [
            {
                "subresource": name,
                "responseKind": _response_kind(kind, name, own),
                "verbs": list(SUBRESOURCES[name][3]),
            }
            for name in kind.subresources
        ]
    return found
