"""The eviction of a pod: a deletion that keeps to PodDisruptionBudgets.

A budget is checked, and counted down, in one step with no await in between, so two evictions never take
the same disruption. Fact: pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.invalid import bad, invalid
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.objects import metadata as meta
from edgelab.objects import selectors
from edgelab.objects.budgets import allowed_condition
from edgelab.objects.status import ApiError, conflict

Obj = dict[str, Any]

CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
WOULD_VIOLATE = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
MOST_DISRUPTED = 2000
UNSAFE_OPTION = "ignoreStoreReadErrorWithClusterBreakingPotential"


class Eviction:
    """Evicts pods of one registry."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    async def evict(self, target: Target, body: Obj, context: Context) -> Obj:
        """The answer to a POST of an Eviction. Raises ApiError (429 when a budget forbids it)."""
        if (body.get("metadata") or {}).get("name", "") != target.name:
            raise ApiError(400, "name in URL does not match name in Eviction object")
        options = dict(body.get("deleteOptions") or {})
        if options.get(UNSAFE_OPTION):
            text = "can not be set for pod eviction, try after removing the option"
            field = bad(f"deleteOptions.{UNSAFE_OPTION}", True, text)
            raise invalid("Eviction", "policy", target.name, [field])
        context = _dry(options, context)
        pod = self._registry.current(target.kind, target.namespace, target.name)
        if _needs_no_budget(pod):
            await self._delete(target, options, context)
            return dict(CREATED)
        budgets = self._budgets(pod)
        if len(budgets) > 1:
            raise ApiError(500, SEVERAL, reason="")
        if budgets:
            await self._pass(budgets[0], pod, context)
        await self._delete(target, options, context)
        return dict(CREATED)

    def _kind(self) -> Kind:
        kind = self._registry.kinds.find("policy", "v1", "poddisruptionbudgets")
        assert kind is not None
        return kind

    def _budgets(self, pod: Obj) -> list[Obj]:
        """The budgets that select the pod."""
        kind, metadata = self._kind(), pod["metadata"]
        found = []
        for entry in self._registry.store.heads(kind.bucket):
            if entry.key.namespace != metadata["namespace"]:
                continue
            budget = codec.decode(entry.data)
            if selectors.from_object(budget["spec"].get("selector")).matches(metadata.get("labels")):
                found.append(budget)
        return sorted(found, key=lambda budget: str(budget["metadata"]["name"]))

    async def _pass(self, budget: Obj, pod: Obj, context: Context) -> None:
        """Take one of the disruptions that the budget allows. Raises ApiError."""
        status = budget.get("status") or {}
        ready = meta.condition(pod, "Ready")
        if ready is None or ready.get("status") != "True":
            healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
            always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
            if always or healthy >= desired > 0:
                return  # it counts for nothing, and its end takes nothing away
        check(budget)
        if context.dry_run:
            return
        metadata, name = budget["metadata"], pod["metadata"]["name"]
        now = rfc3339(self._clock.now())

        def count_down(old: Obj) -> Obj:
            new = {**old, "status": dict(old.get("status") or {})}
            new["status"]["disruptionsAllowed"] -= 1
            new["status"]["disruptedPods"] = {**(new["status"].get("disruptedPods") or {}), name: now}
            new["status"]["conditions"] = list(new["status"].get("conditions") or ())
            if not new["status"]["disruptionsAllowed"]:
                meta.set_condition(new, allowed_condition(new["status"], now))
            return new

        await self._registry.change(
            self._kind(), metadata["namespace"], metadata["name"], count_down, Context(), subresource="status"
        )

    async def _delete(self, target: Target, options: Obj, context: Context) -> None:
        """Say why in the pod's conditions, then delete it."""
        if not context.dry_run:
            options = await self._announce(target, options)
        await self._registry.delete(target.kind, target.namespace, target.name, options, context)

    async def _announce(self, target: Target, options: Obj) -> Obj:
        """The options, with a precondition moved to the version that the announcement made."""
        wanted = options.get("preconditions") or {}
        now = rfc3339(self._clock.now())

        def announce(old: Obj) -> Obj:
            _check_preconditions(old, wanted)
            new = {**old, "status": dict(old.get("status") or {})}
            new["status"]["conditions"] = list(new["status"].get("conditions") or ())
            meta.set_condition(
                new,
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "lastProbeTime": None,
                    "lastTransitionTime": now,
                    "reason": "EvictionByEvictionAPI",
                    "message": "Eviction API: evicting",
                },
            )
            return new

        entry = await self._registry.change(
            target.kind, target.namespace, target.name, announce, Context(), subresource="status"
        )
        if not wanted.get("resourceVersion"):
            return options
        version = codec.decode(entry.data)["metadata"]["resourceVersion"]
        return {**options, "preconditions": {**wanted, "resourceVersion": version}}


def check(budget: Obj) -> None:
    """Whether the budget allows one more disruption. Raises ApiError."""
    status, name = budget.get("status") or {}, budget["metadata"]["name"]
    allowed = status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        text = f"The disruption budget {name} is still being processed by the server."
        raise too_many(text, 10)
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or ()) > MOST_DISRUPTED:
        text = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise _forbidden(name, text)
    if not allowed:
        raise too_many(_why_not(name, status, meta.condition(budget, "DisruptionAllowed") or {}), 0)


def _why_not(name: str, status: Obj, condition: Obj) -> str:
    message = condition.get("message") if condition.get("status") == "False" else ""
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    start = f"The disruption budget {name}"
    if message and condition.get("reason") == "SyncFailed":
        return f"{start} does not allow evicting pods currently because it failed sync: {message}"
    if healthy <= desired:
        return f"{start} needs {desired} healthy pods and has {healthy} currently"
    if message:
        return f"{start} does not allow evicting pods currently ({condition['reason']}): {message}"
    return f"{start} does not allow evicting pods currently"


def too_many(cause: str, retry_after: int) -> ApiError:
    """The 429 of a budget."""
    details: Obj = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return ApiError(429, WOULD_VIOLATE, details=details)


def _forbidden(name: str, why: str) -> ApiError:
    resource = "poddisruptionbudget.policy"
    details = {"name": name, "group": "policy", "kind": "poddisruptionbudget"}
    return ApiError(403, f'{resource} "{name}" is forbidden: {why}', details=details)


def _needs_no_budget(pod: Obj) -> bool:
    """A pod that does not run yet or any more, or that is going, disrupts nothing."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or meta.is_deleting(pod)


def _dry(options: Obj, context: Context) -> Context:
    """`dryRun` may be asked for in the request or in the body."""
    asked = options.get("dryRun") or []
    if asked and not context.dry_run:
        return replace(context, dry_run=True)
    return context


def _check_preconditions(pod: Obj, wanted: Obj) -> None:
    name, uid, version = pod["metadata"]["name"], wanted.get("uid"), wanted.get("resourceVersion")
    theirs = pod["metadata"]["uid"], pod["metadata"]["resourceVersion"]
    if uid and uid != theirs[0]:
        why = f"the UID in the precondition ({uid}) does not match the UID in record ({theirs[0]})"
        raise conflict("Pod", name, f"{why}. The object might have been deleted and then recreated")
    if version and version != theirs[1]:
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in "
            f"record ({theirs[1]})"
        )
        raise conflict("Pod", name, f"{why}. The object might have been modified")
