"""Which fields of a kind can be selected by, and where they lie (`AddFieldLabelConversionFunc`)."""

from __future__ import annotations

from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.objects.selectors import FieldSelector, FieldTerm
from edgelab.objects.status import ApiError

NAME, NAMESPACE = "metadata.name", "metadata.namespace"
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_POD = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
)
# kind -> label -> path in the stored object
LABELS: dict[str, dict[str, str]] = {
    "v1/pods": {**{path: path for path in (NAME, NAMESPACE, *_POD)}, "spec.host": "spec.nodeName"},
    "v1/nodes": {path: path for path in (NAME, "spec.unschedulable")},
    "v1/namespaces": {path: path for path in (NAME, "status.phase")},
    "v1/secrets": {path: path for path in (NAME, NAMESPACE, "type")},
    "v1/services": {path: path for path in (NAME, NAMESPACE, "spec.clusterIP", "spec.type")},
    "v1/replicationcontrollers": {path: path for path in (NAME, NAMESPACE, "status.replicas")},
    "resource.k8s.io/v1/resourceslices": {path: path for path in (NAME, "spec.driver", "spec.nodeName")},
    "batch/v1/jobs": {**{path: path for path in (NAME, NAMESPACE)}, "status.successful": "status.succeeded"},
    "certificates.k8s.io/v1/certificatesigningrequests": {path: path for path in (NAME, "spec.signerName")},
    "v1/events": {
        **{path: path for path in (NAME, NAMESPACE, "reason", "reportingComponent", "type")},
        **{f"involvedObject.{name}": f"involvedObject.{name}" for name in _INVOLVED},
        "source": "source.component",
    },
    "events.k8s.io/v1/events": {
        **{path: path for path in (NAME, NAMESPACE, "reason", "type")},
        **{f"regarding.{name}": f"involvedObject.{name}" for name in _INVOLVED},
        "reportingController": "reportingComponent",
    },
}
# what a field counts as where it is absent
ABSENT = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.succeeded": "0",
}


def resolve(kind: Kind, selector: FieldSelector) -> FieldSelector:
    """The selector with the paths of the stored objects. Raises ApiError 400 for another field."""
    if not selector.terms:
        return selector
    known = LABELS.get(f"{kind.api_version}/{kind.plural}") if kind.custom is None else None
    return FieldSelector(
        tuple(FieldTerm(_path(kind, known, term.field), term.value, term.negate) for term in selector.terms)
    )


def _path(kind: Kind, known: dict[str, str] | None, label: str) -> str:
    if known is None:
        selectable = (NAME, NAMESPACE, *(kind.custom.selectable if kind.custom is not None else ()))
        if label in selectable:
            return label
        if len(selectable) > 2:
            raise ApiError(400, f"field label not supported: {label}")
        listed = ", ".join(f'"{name}"' for name in selectable)
        raise ApiError(400, f'"{label}" is not a known field selector: only {listed}')
    if label in known:
        return known[label]
    if kind.name == "Job":
        raise ApiError(400, f'field label "{label}" not supported for Job')
    if kind.name == "ResourceSlice":
        where = f"{kind.api_version}, Kind={kind.name}"
        raise ApiError(400, f"field label not supported for {where}: {label}")
    raise ApiError(400, f"field label not supported: {label}")
