"""Pods get their node (`setPodNodeAndMetadata` in pkg/registry/core/pod/storage): no update of the spec, so
that the generation stays, and nobody's field.
"""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

from edgelab.daemon.clock import rfc3339
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.updates import wrong_uid
from edgelab.edgesite.store import Key
from edgelab.objects import metadata as meta
from edgelab.objects.status import conflict

Obj = dict[str, Any]


def assigned(kind: Kind, key: Key, pod: Obj, binding: Obj, now: dt.datetime) -> Obj:
    """The pod as it is with its node. Raises ApiError 409."""
    metadata, spec, wanted = pod["metadata"], pod.get("spec") or {}, binding.get("metadata") or {}
    if wanted.get("uid") and wanted["uid"] != metadata["uid"]:
        text = wrong_uid(kind, key, wanted["uid"], metadata["uid"])
        raise conflict(kind.plural, key.name, text)
    if problem := _problem(pod):
        raise conflict("pods/binding", key.name, problem)
    new = copy.deepcopy(pod)
    new["spec"] = {**spec, "nodeName": binding["target"]["name"]}
    status = new.setdefault("status", {})
    status.pop("nominatedNodeName", None)
    if wanted.get("annotations"):
        new["metadata"]["annotations"] = {**(metadata.get("annotations") or {}), **wanted["annotations"]}
    condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    meta.set_condition(new, {**condition, "lastTransitionTime": rfc3339(now)})
    return new


def _problem(pod: Obj) -> str:
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    if metadata.get("deletionTimestamp"):
        return f"pod {metadata['name']} is being deleted, cannot be assigned to a host"
    if spec.get("nodeName"):
        return f'pod {metadata["name"]} is already assigned to node "{spec["nodeName"]}"'
    if spec.get("schedulingGates"):
        return f"pod {metadata['name']} has non-empty .spec.schedulingGates"
    return ""
