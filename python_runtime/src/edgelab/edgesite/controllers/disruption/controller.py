"""The controller: counts healthy pods and writes how many of them may be disrupted.

Receives PodDisruptionBudgets, pods and what owns them. Writes the budgets' status and events.
"""

from __future__ import annotations

import datetime as dt

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.controllers.deployment.rollout import portion
from edgelab.edgesite.controllers.disruption.scale import NoScale, Scales
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import BUDGETS
from edgelab.edgesite.controllers.support.pods import is_ready
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PODS
from edgelab.objects.budgets import allowed_condition
from edgelab.objects.metadata import controller_of, is_deleting, labels, set_condition
from edgelab.objects.selectors import from_object

DELETION_SECONDS = 120.0
"""A pod whose eviction was granted and that is still not being deleted after this time counts again."""


class DisruptionController:
    """A module; its queue holds the keys of PodDisruptionBudgets."""

    name = "disruption-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._budgets = cluster.view(BUDGETS)
        self._pods = cluster.view(PODS)
        self._scales = Scales(cluster)
        self._events = Recorder(cluster.api, cluster.clock, "controllermanager")
        needs = [self._budgets, self._pods, *self._scales.views]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._budgets.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        """Keep the budgets' status."""
        await self._queue.run()

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED and old is not None and _aspect(old) == _aspect(new):
            return
        for budget in self._budgets.in_namespace(new["metadata"]["namespace"]):
            selector = from_object(budget["spec"].get("selector"))
            if any(selector.matches(labels(pod)) for pod in (old, new) if pod is not None):
                self._queue.add_object(budget)

    async def _reconcile(self, key: Key) -> float | None:
        budget = self._budgets.get(key[1], key[0])
        if budget is None:
            return None
        selector = from_object(budget["spec"].get("selector"))
        pods = [pod for pod in self._pods.in_namespace(key[0]) if selector.matches(labels(pod))]
        if not pods:
            await self._events.normal(budget, "NoPods", "No matching pods found")
        for pod in pods:
            await self._tell_of_several(budget, pod)
        try:
            expected, desired, unmanaged = await self._expected(budget, pods)
        except NoScale as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            await self._events.warning(budget, "CalculateExpectedPodCountFailed", text)
            await self._fail(budget, str(error))
            return None
        if unmanaged:
            await self._tell_of_unmanaged(budget)
        now = self._cluster.clock.now()
        disrupted, again = await self._disrupted(budget, pods, now)
        healthy = sum(
            1 for p in pods if is_ready(p) and not is_deleting(p) and p["metadata"]["name"] not in disrupted
        )
        await self._report(budget, (healthy, desired, expected), disrupted)
        return again

    async def _expected(self, budget: Obj, pods: list[Obj]) -> tuple[int, int, list[str]]:
        """How many pods there should be, how many must be healthy, and who belongs to nobody."""
        spec = budget["spec"]
        if (limit := spec.get("maxUnavailable")) is not None:
            expected, unmanaged = await self._scales.expected(pods)
            return expected, max(0, expected - portion(limit, expected, up=True)), unmanaged
        minimum = spec.get("minAvailable", 0)
        if not isinstance(minimum, str):
            return len(pods), int(minimum), []
        expected, unmanaged = await self._scales.expected(pods)
        return expected, portion(minimum, expected, up=True), unmanaged

    async def _disrupted(
        self, budget: Obj, pods: list[Obj], now: dt.datetime
    ) -> tuple[dict[str, str], float | None]:
        """Pods that will be deleted any moment, and the seconds until one of them is given up."""
        noted = (budget.get("status") or {}).get("disruptedPods") or {}
        kept: dict[str, str] = {}
        waits = []
        for pod in pods:
            name = pod["metadata"]["name"]
            if name not in noted or is_deleting(pod):
                continue
            left = DELETION_SECONDS - (now - parse_rfc3339(noted[name])).total_seconds()
            if left < 0:
                # The real controller names the namespace twice, and people search for what it writes.
                namespace = budget["metadata"]["namespace"]
                text = f"Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't"
                await self._events.warning(pod, "NotDeleted", text)
            else:
                kept[name] = noted[name]
                waits.append(left)
        return kept, min(waits) + 1 if waits else None

    async def _report(self, budget: Obj, counts: tuple[int, int, int], disrupted: dict[str, str]) -> None:
        healthy, desired, expected = counts
        allowed = max(0, healthy - desired) if expected > 0 else 0
        old = budget.get("status") or {}
        status: Obj = {
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "observedGeneration": budget["metadata"].get("generation", 1),
        }
        if disrupted:
            status["disruptedPods"] = disrupted
        status["conditions"] = [dict(item) for item in old.get("conditions") or ()]
        set_condition({"status": status}, allowed_condition(status, self._cluster.stamp()))
        if status != old:
            await self._cluster.update(BUDGETS, {**budget, "status": status}, "status")

    async def _fail(self, budget: Obj, why: str) -> None:
        """Nothing may be disrupted while the numbers are not known."""
        old = budget.get("status") or {}
        counts = {name: old.get(name, 0) for name in ("currentHealthy", "desiredHealthy", "expectedPods")}
        conditions = [dict(item) for item in old.get("conditions") or ()]
        status: Obj = {**old, **counts, "disruptionsAllowed": 0, "conditions": conditions}
        condition = {
            **allowed_condition(status, self._cluster.stamp()),
            "reason": "SyncFailed",
            "message": why,
        }
        if not condition["observedGeneration"]:
            del condition["observedGeneration"]
        set_condition({"status": status}, condition)
        if status != old:
            await self._cluster.update(BUDGETS, {**budget, "status": status}, "status")

    async def _tell_of_several(self, budget: Obj, pod: Obj) -> None:
        namespace, mine = budget["metadata"]["namespace"], budget["metadata"]["name"]
        others = self._budgets.in_namespace(namespace)
        if len(others) < 2 or mine != min(item["metadata"]["name"] for item in others):
            return
        fitting = [b for b in others if from_object(b["spec"].get("selector")).matches(labels(pod))]
        if len(fitting) > 1 and mine in {item["metadata"]["name"] for item in fitting}:
            text = (
                f'Pod "{namespace}"/"{pod["metadata"]["name"]}" matches multiple PodDisruptionBudgets.  '
                f'Chose "{mine}" arbitrarily.'
            )
            await self._events.warning(pod, "MultiplePodDisruptionBudgets", text)

    async def _tell_of_unmanaged(self, budget: Obj) -> None:
        text = (
            f"Pods selected by this PodDisruptionBudget (selector: {_go_selector(budget)}) were found to be "
            "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result "
            'in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the '
            "PDB to an integer value."
        )
        await self._events.warning(budget, "UnmanagedPods", text)


def _aspect(pod: Obj) -> tuple[object, ...]:
    """What a budget sees of a pod."""
    return labels(pod), is_ready(pod), is_deleting(pod), controller_of(pod)


def _go_selector(budget: Obj) -> str:
    """The selector as Go prints it."""
    selector = budget["spec"].get("selector") or {}
    pairs = ",".join(f"{key}: {value}" for key, value in sorted((selector.get("matchLabels") or {}).items()))
    labels_text = f"map[string]string{{{pairs + ',' if pairs else ''}}}"
    parts = [
        f"{{{item['key']} {item['operator']} [{' '.join(item.get('values') or ())}]}}"
        for item in selector.get("matchExpressions") or ()
    ]
    expressions = f"[]LabelSelectorRequirement{{{''.join(part + ',' for part in parts)}}}"
    return f"&LabelSelector{{MatchLabels:{labels_text},MatchExpressions:{expressions},}}"
