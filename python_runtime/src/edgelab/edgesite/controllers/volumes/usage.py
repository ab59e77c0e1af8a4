"""Which claims a pod mounts. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgelab.edgesite.controllers.support.pods import is_finished
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting


def claims_of(pod: Obj) -> Iterator[str]:
    """The names of the claims that the pod mounts, its ephemeral ones too."""
    for volume in pod["spec"].get("volumes") or ():
        if source := volume.get("persistentVolumeClaim"):
            yield source["claimName"]
        elif "ephemeral" in volume:
            yield f"{pod['metadata']['name']}-{volume['name']}"


def users_of(claim: Obj, pods: Iterable[Obj]) -> list[Obj]:
    """The pods that mount the claim and have not ended, by name."""
    name = claim["metadata"]["name"]
    found = [pod for pod in pods if not is_finished(pod) and name in claims_of(pod)]
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def holds(pod: Obj) -> bool:
    """Whether a node may still use what the pod mounts."""
    ended = is_deleting(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0
    return bool(pod["spec"].get("nodeName")) and not ended
