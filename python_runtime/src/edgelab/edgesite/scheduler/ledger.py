"""What is on every node: pods that the API says are bound, and those whose binding is under way. No I/O."""

from __future__ import annotations

from collections import defaultdict

from edgelab.edgesite.scheduler.demand import Demand, Load, demand
from edgelab.edgesite.scheduler.neighbours import guards_itself
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import controller_of


class Ledger:
    """Loads by node name; a pod is counted once, by uid."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[str, Demand, str]] = {}
        self._loads: defaultdict[str, Load] = defaultdict(Load)

    def load(self, node: str) -> Load:
        """What is on a node."""
        return self._loads[node]

    def put(self, pod: Obj, node: str) -> bool:
        """Count a pod on a node (again: with what it asks for now). True when it was not counted before."""
        fresh = not self.remove(pod)
        entry = (node, demand(pod), owner_of(pod))
        uid, load = pod["metadata"]["uid"], self._loads[node]
        self._entries[uid] = entry
        load.add(entry[1], entry[2])
        load.members[uid] = pod
        if guards_itself(pod):
            load.guarded[uid] = pod
        return fresh

    def remove(self, pod: Obj) -> bool:
        """Stop counting a pod. False when it was not counted."""
        uid = pod["metadata"]["uid"]
        entry = self._entries.pop(uid, None)
        if entry is None:
            return False
        node, asked, owner = entry
        self._loads[node].members.pop(uid, None)
        self._loads[node].guarded.pop(uid, None)
        self._loads[node].add(asked, owner, -1)
        if not self._loads[node].pods:
            del self._loads[node]
        return True


def owner_of(pod: Obj) -> str:
    """uid of the pod's controller; empty without one."""
    reference = controller_of(pod)
    return str(reference["uid"]) if reference else ""
