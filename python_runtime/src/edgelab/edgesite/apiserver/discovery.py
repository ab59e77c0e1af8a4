"""Discovery documents: /api, /apis, the lists of resources, and the aggregated form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver.kinds import Kind, Kinds

Obj = dict[str, Any]

AGGREGATED = "apidiscovery.k8s.io"
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
    """Named groups: the built-in ones first, then custom ones, each by name."""
    found = kinds.groups()
    custom = {kind.group for kind in kinds if kind.custom is not None}
    return sorted(
        ((group, versions) for group, versions in found.items() if group),
        key=lambda pair: (pair[0] in custom, pair[0]),
    )


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
        "apiVersion": "v1",
        "groupVersion": f"{name}/{version}" if name else version,
        "resources": resources,
    }


def _entries(kind: Kind) -> Iterator[Obj]:
    entry: Obj = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.resource.namespaced,
        "kind": kind.name,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
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
        yield sub | {"kind": other or kind.name, "verbs": list(verbs)}


def aggregated(kinds: Kinds, *, core: bool) -> Obj:
    """The aggregated form (apidiscovery.k8s.io/v2) of /api or /apis."""
    groups = [("", ["v1"])] if core else _groups(kinds)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_aggregated_group(kinds, name, versions) for name, versions in groups],
    }


def _aggregated_group(kinds: Kinds, name: str, versions: list[str]) -> Obj:
    metadata: Obj = {"creationTimestamp": None, **({"name": name} if name else {})}
    listed = [
        {
            "version": version,
            "freshness": "Current",
            "resources": [_aggregated(kind) for kind in kinds.in_version(name, version)],
        }
        for version in versions
    ]
    return {"metadata": metadata, "versions": listed}


def _aggregated(kind: Kind) -> Obj:
    def response(in_group: str, version: str, name: str) -> Obj:
        return {"group": in_group, "version": version, "kind": name}

    own = response(kind.group, kind.resource.version, kind.name)
    found: Obj = {
        "resource": kind.plural,
        "responseKind": own,
        "scope": "Namespaced" if kind.resource.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    if kind.subresources:
        found["subresources"] = [
            {
                "subresource": name,
                "responseKind": response(*SUBRESOURCES[name][:3]) if SUBRESOURCES[name][2] else own,
                "verbs": list(SUBRESOURCES[name][3]),
            }
            for name in kind.subresources
        ]
    return found
