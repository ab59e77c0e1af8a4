"""Templates, their hashes and revisions: which ReplicaSet stands for which state of a Deployment.

No I/O. Fact: pkg/controller/deployment/util/deployment_util.go.
"""

from __future__ import annotations

import copy
import hashlib
import json

from edgelab.kube.interface import Obj
from edgelab.objects.metadata import owner_reference

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Letters that form no words (apimachinery `util/rand`)."""


def template_hash(template: Obj, collisions: int = 0) -> str:
    """Ten safe characters that stand for a template. Ours; the real one hashes Go structures."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":")) + (
        str(collisions) if collisions else ""
    )
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:10])


def same_template(left: Obj, right: Obj) -> bool:
    """Whether two pod templates are equal, apart from the hash label."""
    return _bare(left) == _bare(right)


def _bare(template: Obj) -> Obj:
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    metadata.pop("creationTimestamp", None)
    return {**template, "metadata": {**metadata, "labels": labels}}


def annotation(obj: Obj, name: str) -> str | None:
    """One annotation."""
    value: str | None = (obj["metadata"].get("annotations") or {}).get(name)
    return value


def revision(obj: Obj) -> int:
    """The revision annotation as a number; 0 when there is none."""
    try:
        return int(annotation(obj, REVISION) or 0)
    except ValueError:
        return 0


def number(obj: Obj, name: str) -> int | None:
    """A numeric annotation, if it is there and a number."""
    try:
        return int(annotation(obj, name) or "")
    except ValueError:
        return None


def find_new(deployment: Obj, replica_sets: list[Obj]) -> Obj | None:
    """The oldest ReplicaSet with the Deployment's present template."""
    fitting = [
        rs for rs in replica_sets if same_template(rs["spec"]["template"], deployment["spec"]["template"])
    ]
    return min(fitting, key=_age, default=None)


def _age(replica_set: Obj) -> tuple[str, str]:
    metadata = replica_set["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["name"]


def oldest_first(replica_sets: list[Obj]) -> list[Obj]:
    """By time of creation."""
    return sorted(replica_sets, key=_age)


def new_replica_set(deployment: Obj, replicas: int, maximum: int, number_: int) -> Obj:
    """The ReplicaSet for the Deployment's present template."""
    spec, metadata = deployment["spec"], deployment["metadata"]
    collisions = int((deployment.get("status") or {}).get("collisionCount", 0))
    digest = template_hash(spec["template"], collisions)
    template = copy.deepcopy(spec["template"])
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: digest}
    template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
    selector = copy.deepcopy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{digest}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": wanted_annotations(deployment, {}, number_, maximum),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            **({"minReadySeconds": minimum} if (minimum := spec.get("minReadySeconds")) else {}),
            "selector": selector,
            "template": template,
        },
    }


def wanted_annotations(
    deployment: Obj, current: dict[str, str], number_: int, maximum: int
) -> dict[str, str]:
    """Annotations of the new ReplicaSet: the Deployment's, its revision and its history of revisions."""
    copied = deployment["metadata"].get("annotations") or {}
    wanted = {**current, **{key: value for key, value in copied.items() if key not in NOT_COPIED}}
    before = int(current.get(REVISION) or 0)
    if before and before < number_:
        history = [item for item in (current.get(HISTORY) or "").split(",") if item]
        wanted[HISTORY] = ",".join([*history, str(before)])
    wanted[REVISION] = str(max(before, number_))
    wanted[DESIRED] = str(deployment["spec"].get("replicas", 1))
    wanted[MAXIMUM] = str(maximum)
    return wanted
