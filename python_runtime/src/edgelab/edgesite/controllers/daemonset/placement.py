"""Where a DaemonSet's pods belong, and what they look like. No I/O."""

from __future__ import annotations

import copy

from edgelab.edgesite.controllers.support.pods import from_template
from edgelab.edgesite.scheduler.nodes import matches_node, tolerates_all
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import labels

HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
GENERATION = "deprecated.daemonset.template.generation"
TOLERATIONS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
"""Added to every daemon pod (pkg/controller/daemon/util)."""
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def generation(daemon_set: Obj) -> str:
    """The old counter of templates; empty when the API server does not keep it."""
    return str((daemon_set["metadata"].get("annotations") or {}).get(GENERATION, ""))


def is_updated(pod: Obj, digest: str, counter: str) -> bool:
    """Whether the pod was made from the present template."""
    present = labels(pod)
    return present.get(HASH_LABEL) == digest or bool(counter and present.get(GENERATION_LABEL) == counter)


def node_of(pod: Obj) -> str:
    """The node that a daemon pod is bound to, or meant for."""
    if bound := pod["spec"].get("nodeName"):
        return str(bound)
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    for term in (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name":
                return str(field["values"][0])
    return ""


def daemon_pod(daemon_set: Obj, digest: str, node: str) -> Obj:
    """The pod for one node: only the scheduler's other rules still apply to it."""
    pod = from_template(daemon_set, daemon_set["spec"]["template"])
    present = pod["metadata"]["labels"]
    present[HASH_LABEL] = digest
    if counter := generation(daemon_set):
        present[GENERATION_LABEL] = counter
    _tolerate(pod["spec"])
    only = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = pod["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {})
    affinity[_REQUIRED] = {"nodeSelectorTerms": [only]}
    return pod


def _tolerate(spec: Obj) -> None:
    """What belongs to every daemon takes the place of what the template says of the same taint."""
    added = list(TOLERATIONS)
    if spec.get("hostNetwork"):
        added.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    tolerations = list(spec.get("tolerations") or ())
    for key, effect in added:
        wanted = {"key": key, "operator": "Exists", "effect": effect}
        for position, present in enumerate(tolerations):
            if _same_taint(present, wanted):
                tolerations[position] = wanted
                break
        else:
            tolerations.append(wanted)
    spec["tolerations"] = tolerations


def _same_taint(one: Obj, other: Obj) -> bool:
    """`MatchToleration`: all but how long."""
    return all(one.get(name) == other.get(name) for name in ("key", "effect", "operator", "value"))


class Judge:
    """Judges nodes for one DaemonSet."""

    def __init__(self, daemon_set: Obj) -> None:
        spec = copy.deepcopy(daemon_set["spec"]["template"]["spec"])
        _tolerate(spec)
        self._probe: Obj = {"metadata": {}, "spec": spec}

    def should_run(self, node: Obj) -> bool:
        """Whether a pod belongs on the node."""
        return self.may_stay(node) and tolerates_all(self._probe, node, ("NoSchedule", "NoExecute"))

    def may_stay(self, node: Obj) -> bool:
        """Whether a pod that is there already may go on: NoSchedule taints do not send it away."""
        named = self._probe["spec"].get("nodeName") in (None, "", node["metadata"]["name"])
        return named and matches_node(self._probe, node) and tolerates_all(self._probe, node, ("NoExecute",))
