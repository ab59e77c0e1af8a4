"""What a node's message would do at the Kubernetes API, in the API's own words.

Facts: KubeEdge `cloud/pkg/cloudhub/authorization` (docs/reference/protocol.md). Other than there, events are
mapped too and reports of node jobs (`UpdateNodeActionStatus`) are KubeEdge's own; the original refuses both.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from edgelab.protocol.message import Route
from edgelab.protocol.resource import CLUSTER, parse

OWN_OPERATIONS = frozenset(
    {"response", "error", "upload", "prepull", "upgrade", "keepalive", "UpdateNodeActionStatus"}
)
OWN_SOURCES = frozenset({"metaserver", "twin"})
CSI_VOLUME = re.compile(r"\w[-\w.+]*/volume/\w[-\w.+]*")
VERBS = {"insert": "create", "update": "update", "delete": "delete", "patch": "patch", "query": "get"}


class Attributes(NamedTuple):
    """`ResourceAttributes` of a SubjectAccessReview."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str


class _Kind(NamedTuple):
    group: str
    resource: str
    subresource: str = ""
    namespaced: bool = True


KINDS = {
    "node": _Kind("", "nodes", namespaced=False),
    "nodestatus": _Kind("", "nodes", "status", namespaced=False),
    "nodepatch": _Kind("", "nodes", "status", namespaced=False),
    "pod": _Kind("", "pods"),
    "podstatus": _Kind("", "pods", "status"),
    "podpatch": _Kind("", "pods", "status"),
    "configmap": _Kind("", "configmaps"),
    "secret": _Kind("", "secrets"),
    "event": _Kind("", "events"),
    "serviceaccounttoken": _Kind("", "serviceaccounts", "token"),
    "persistentvolume": _Kind("", "persistentvolumes", namespaced=False),
    "persistentvolumeclaim": _Kind("", "persistentvolumeclaims"),
    "volumeattachment": _Kind("storage.k8s.io", "volumeattachments", namespaced=False),
    "lease": _Kind("coordination.k8s.io", "leases"),
    "certificatesigningrequest": _Kind("certificates.k8s.io", "certificatesigningrequests", namespaced=False),
}
"""Message types and what they are in the API."""


def is_own(route: Route) -> bool:
    """Whether a message is KubeEdge's own, which Kubernetes has no opinion on."""
    if route.operation in OWN_OPERATIONS or route.source in OWN_SOURCES or route.resource == "k8s/ca.crt":
        return True
    address = parse(route.resource)
    if CSI_VOLUME.match(route.resource) or address.type == "rulestatus":
        return True
    return address.type == "podstatus" and not address.name


def attributes_of(route: Route) -> Attributes | None:
    """What the message would do; None when it is nothing that the API has a word for."""
    address = parse(route.resource)
    kind, verb = KINDS.get(address.type), VERBS.get(route.operation)
    if kind is None or verb is None:
        return None
    subresource = kind.subresource
    if subresource == "token" and verb == "get":
        verb = "create"
    elif subresource == "status" and verb == "create":
        subresource = ""  # the object itself is new
    namespace = address.namespace if kind.namespaced and address.namespace != CLUSTER else ""
    return Attributes(verb, kind.group, kind.resource, subresource, namespace, address.name)
