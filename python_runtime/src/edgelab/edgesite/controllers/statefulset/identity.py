"""Names, ordinals and volumes of a StatefulSet's pods. No I/O.

Fact: pkg/controller/statefulset/stateful_set_utils.go.
"""

from __future__ import annotations

import copy
import re

from edgelab.edgesite.controllers.support.pods import from_template
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import labels

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
REVISION = "controller-revision-hash"
_NAME = re.compile(r"(.*)-([0-9]+)$", re.DOTALL)


def parent_and_ordinal(pod: Obj) -> tuple[str, int]:
    """The name before the last number, and the number; ("", -1) when there is none."""
    match = _NAME.match(pod["metadata"]["name"])
    if match is None:
        return "", -1
    number = int(match[2])
    return match[1], number if number < 2**31 else -1


def ordinal(pod: Obj) -> int:
    """The pod's number; -1 when its name has none."""
    return parent_and_ordinal(pod)[1]


def is_member(stateful_set: Obj, pod: Obj) -> bool:
    """Whether the pod is named after the set."""
    return parent_and_ordinal(pod)[0] == str(stateful_set["metadata"]["name"])


def ordinals(stateful_set: Obj) -> range:
    """The numbers that the set's pods have."""
    start = int((stateful_set["spec"].get("ordinals") or {}).get("start", 0))
    return range(start, start + int(stateful_set["spec"].get("replicas", 1)))


def revision(pod: Obj) -> str:
    """The name of the revision that the pod was made from."""
    return labels(pod).get(REVISION, "")


def new_pod(stateful_set: Obj, template: Obj, number: int, revision_name: str) -> Obj:
    """The pod with this number, made from a revision's template."""
    pod = from_template(stateful_set, template)
    metadata = pod["metadata"]
    name = f"{stateful_set['metadata']['name']}-{number}"
    metadata["name"] = name
    _identify(pod)
    metadata["labels"][REVISION] = revision_name
    pod["spec"]["hostname"] = name
    if service := stateful_set["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = service
    _mount(stateful_set, pod)
    return pod


def _identify(pod: Obj) -> None:
    name = pod["metadata"]["name"]
    present = {**labels(pod), POD_NAME: name, POD_INDEX: str(ordinal(pod))}
    pod["metadata"]["labels"] = present


def identity_matches(stateful_set: Obj, pod: Obj) -> bool:
    """Whether the pod carries the name that is its own."""
    return is_member(stateful_set, pod) and labels(pod).get(POD_NAME) == pod["metadata"]["name"]


def claim_templates(stateful_set: Obj) -> list[Obj]:
    """`spec.volumeClaimTemplates`."""
    found: list[Obj] = stateful_set["spec"].get("volumeClaimTemplates") or []
    return found


def claim_name(stateful_set: Obj, template: Obj, number: int) -> str:
    """The claim of a pod by a template."""
    return f"{template['metadata']['name']}-{stateful_set['metadata']['name']}-{number}"


def claims(stateful_set: Obj, pod: Obj) -> dict[str, Obj]:
    """The claims that the pod mounts, by the names of its volumes."""
    made: dict[str, Obj] = {}
    chosen = stateful_set["spec"]["selector"].get("matchLabels") or {}
    for template in claim_templates(stateful_set):
        metadata = copy.deepcopy(template["metadata"])
        metadata["name"] = claim_name(stateful_set, template, ordinal(pod))
        metadata["namespace"] = stateful_set["metadata"]["namespace"]
        metadata["labels"] = {**(metadata.get("labels") or {}), **chosen}
        made[template["metadata"]["name"]] = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": copy.deepcopy(template.get("spec") or {}),
        }
    return made


def storage_matches(stateful_set: Obj, pod: Obj) -> bool:
    """Whether the pod mounts the claims that are its own."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    for name, claim in claims(stateful_set, pod).items():
        source = volumes.get(name, {}).get("persistentVolumeClaim") or {}
        if source.get("claimName") != claim["metadata"]["name"]:
            return False
    return True


def _mount(stateful_set: Obj, pod: Obj) -> None:
    own = claims(stateful_set, pod)
    if not own:
        return
    mounted = [
        {"name": name, "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        for name, claim in own.items()
    ]
    others = [volume for volume in pod["spec"].get("volumes") or () if volume["name"] not in own]
    pod["spec"]["volumes"] = mounted + others


def restored(stateful_set: Obj, pod: Obj) -> Obj:
    """A copy of the pod with its own name and volumes put right."""
    changed = copy.deepcopy(pod)
    if not identity_matches(stateful_set, changed):
        _identify(changed)
    if not storage_matches(stateful_set, changed):
        _mount(stateful_set, changed)
    return changed
