"""What to do next for a pod, decided from its description and the runtime's state alone.

Follows the kubelet's `computePodActions` (`kuberuntime_manager.go`), sidecars included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgelab.edgecore.edged import names, podspec
from edgelab.edgecore.edged.state import EXITED, UNKNOWN, Container, PodState

Obj = dict[str, Any]


@dataclass(slots=True)
class Plan:
    """Stop what `kill` names, then a new sandbox if asked for, then start containers in order."""

    stop_pod: bool = False
    new_sandbox: bool = False
    attempt: int = 0
    start: list[Obj] = field(default_factory=list)
    kill: list[tuple[Container, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes say of a container: `broken` gives why it must be restarted, or an empty text."""

    broken: Callable[[Container], str]
    started: Callable[[Container], bool]


def make(pod: Obj, state: PodState, health: Health) -> Plan:
    """The next steps."""
    sandbox = state.sandbox
    if sandbox is None or not sandbox.ready or (not sandbox.ips and not podspec.host_network(pod)):
        return _replace_sandbox(pod, state)
    plan = Plan(attempt=sandbox.attempt)
    if not _initialize(pod, state, health, plan):
        return plan
    kept = 0
    for container in podspec.containers(pod):
        kept += _application(pod, state, health, plan, container)
    if kept == 0 and not plan.start:
        plan.stop_pod = True
    return plan


def _replace_sandbox(pod: Obj, state: PodState) -> Plan:
    attempt = state.sandbox.attempt + 1 if state.sandbox else 0
    plan = Plan(stop_pod=True, new_sandbox=True, attempt=attempt)
    policy = podspec.restart_policy(pod)
    if policy == "Never" and attempt and state.containers:
        plan.new_sandbox = False  # it ran once, and once is all it may
        return plan
    succeeded = {c["name"] for c in podspec.containers(pod) if _succeeded(state.container(c["name"]))}
    wanted = [c for c in podspec.containers(pod) if not (policy == "OnFailure" and c["name"] in succeeded)]
    if not wanted:
        plan.new_sandbox = False
        return plan
    initial = podspec.init_containers(pod)
    plan.start = initial[:1] or wanted
    return plan


def _initialize(pod: Obj, state: PodState, health: Health, plan: Plan) -> bool:
    """Walk through the init containers; False while the app containers must wait."""
    begun = any(state.container(c["name"]) for c in podspec.containers(pod))
    for container in podspec.init_containers(pod):
        found = state.container(container["name"])
        if podspec.is_sidecar(container):
            if found is None or not found.running:
                plan.start.append(container)
                return begun
            if reason := health.broken(found):
                plan.kill.append((found, reason))
                plan.start.append(container)
            if not begun and not health.started(found):
                return False
            continue
        if begun:
            continue
        if found is None:
            plan.start.append(container)
            return False
        if found.state == EXITED and found.exit_code == 0:
            continue
        if found.running:
            return False
        if podspec.restart_policy(pod) == "Never" and found.state == EXITED:
            plan.stop_pod = True
        else:
            plan.start.append(container)
        return False
    return True


def _application(pod: Obj, state: PodState, health: Health, plan: Plan, container: Obj) -> int:
    """Plan for one app container; gives 1 when it runs and stays."""
    found = state.container(container["name"])
    restarts = podspec.restart_policy(pod) != "Never"
    if found is None or not found.running:
        if found is not None and found.state == UNKNOWN:
            plan.kill.append((found, f"Container {container['name']} is in an unknown state"))
        if should_restart(pod, found):
            plan.start.append(container)
        return 0
    reason = health.broken(found)
    changed = bool(found.hash) and found.hash != names.container_hash(container)
    if not reason and not changed:
        return 1
    why = reason or f"Container {container['name']} definition changed, will be restarted"
    plan.kill.append((found, why))
    if restarts or changed:
        plan.start.append(container)
    return 0


def should_restart(pod: Obj, found: Container | None) -> bool:
    """Whether a container that does not run shall be started (again)."""
    if found is None or found.state != EXITED:
        return True
    policy = podspec.restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and found.exit_code != 0)


def _succeeded(container: Container | None) -> bool:
    return container is not None and container.state == EXITED and container.exit_code == 0
