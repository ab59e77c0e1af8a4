"""What to do next for a pod, decided from its description and the runtime's state alone.

Follows the kubelet's `computePodActions` (`kuberuntime_manager.go`), sidecars included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgelab.edgecore.edged import names, podspec
from edgelab.edgecore.edged.state import CREATED, EXITED, RUNNING, UNKNOWN, Container, PodState

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
    """What the probes say of a container: `broken` names the probe that failed, or is an empty text."""

    broken: Callable[[Container], str]
    started: Callable[[Container], bool]


def make(pod: Obj, state: PodState, health: Health) -> Plan:
    """The next steps."""
    sandbox = state.sandbox
    if sandbox is None or not sandbox.ready or (not sandbox.ips and not podspec.host_network(pod)):
        return _replace_sandbox(pod, state)
    plan = Plan(attempt=sandbox.attempt)
    later = [c for c in podspec.ephemeral_containers(pod) if state.container(c["name"]) is None]
    walk = _walk(pod, state, health, plan)
    plan.start = [*later, *walk.start]
    if plan.stop_pod or not walk.done:
        return plan
    kept, application = 0, len(plan.start)
    for container in podspec.containers(pod):
        kept += _application(pod, state, health, plan, container)
    if kept == 0 and len(plan.start) == application:
        plan.stop_pod = True
        plan.start = []  # neither sidecars nor somebody's shell keep a pod alive
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


@dataclass(slots=True)
class _Walk:
    """What came out of looking at the init containers: `done` when the app containers may run."""

    done: bool
    start: list[Obj] = field(default_factory=list)


def _walk(pod: Obj, state: PodState, health: Health, plan: Plan) -> _Walk:
    """Look at the init containers from the last to the first.

    The last one that there is says how far the pod has come: those before it may be removed already. Before
    it only sidecars matter, which must go on running.
    """
    begun = any(
        found.state in (CREATED, RUNNING)
        for container in podspec.containers(pod)
        if (found := state.container(container["name"])) is not None
    )
    initial = podspec.init_containers(pod)
    walk, passed = _Walk(done=begun or not initial), begun
    for number in range(len(initial) - 1, -1, -1):
        container = initial[number]
        found, sidecar = state.container(container["name"]), podspec.is_sidecar(container)
        if found is None or (passed and not sidecar):
            if passed and sidecar:
                walk.start.append(container)
            continue
        complete = _sidecar(walk, health, plan, container, found) if sidecar else None
        if not sidecar:
            complete = _once(pod, walk, plan, container, found)
            if plan.stop_pod:
                return _Walk(done=False)
        if complete and not passed:
            walk.done = number + 1 == len(initial)
            walk.start += initial[number + 1 : number + 2]
        passed = True
    if not passed:
        walk.start += initial[:1]
    walk.start.reverse()
    return walk


def _sidecar(walk: _Walk, health: Health, plan: Plan, container: Obj, found: Container) -> bool:
    """Keep a sidecar running; True when what comes after it may start."""
    name = container["name"]
    if not found.running:
        if found.state == UNKNOWN:
            plan.kill.append((found, f"Init container {name} is in an unknown state"))
        walk.start.append(container)
        return False
    probe = health.broken(found)
    if probe:
        plan.kill.append((found, f"Init container {name} failed {probe} probe"))
    elif _changed(container, found):
        plan.kill.append((found, f"Init container {name} definition changed"))
    else:
        return health.started(found)
    walk.start.append(container)
    return probe != "startup" and health.started(found)


def _once(pod: Obj, walk: _Walk, plan: Plan, container: Obj, found: Container) -> bool:
    """An init container that has to succeed once; True when it has."""
    if found.running:
        return False
    if found.state == EXITED and found.exit_code == 0:
        return True
    if found.state != CREATED and podspec.restart_policy(pod) == "Never":
        plan.stop_pod = True
        return False
    if found.state == UNKNOWN:
        plan.kill.append((found, f"Init container {container['name']} is in an unknown state"))
    walk.start.append(container)
    return False


def _application(pod: Obj, state: PodState, health: Health, plan: Plan, container: Obj) -> int:
    """Plan for one app container; gives 1 when it runs and stays."""
    name = container["name"]
    found = state.container(name)
    if found is None or not found.running:
        if found is not None and found.state == UNKNOWN:
            plan.kill.append((found, f"Container {name} is in an unknown state"))
        if should_restart(pod, found):
            plan.start.append(container)
        return 0
    probe, changed = health.broken(found), _changed(container, found)
    if not probe and not changed:
        return 1
    why = f"Container {name} definition changed" if changed else f"Container {name} failed {probe} probe"
    if changed or podspec.restart_policy(pod) != "Never":
        why += ", will be restarted"
        plan.start.append(container)
    plan.kill.append((found, why))
    return 0


def _changed(container: Obj, found: Container) -> bool:
    return bool(found.hash) and found.hash != names.container_hash(container)


def restart(plan: Plan, outdated: list[tuple[Container, Obj]]) -> None:
    """Add containers that have to start again for new limits, unless the pod ends or they do anyhow."""
    killed = {container.id for container, _ in plan.kill}
    for container, spec in outdated:
        if not plan.stop_pod and container.id not in killed:
            plan.kill.append((container, f"Container {container.name} resize requires restart"))
            plan.start.append(spec)


def should_restart(pod: Obj, found: Container | None) -> bool:
    """Whether a container that does not run shall be started (again)."""
    if found is None or found.state != EXITED:
        return True
    policy = podspec.restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and found.exit_code != 0)


def _succeeded(container: Container | None) -> bool:
    return container is not None and container.state == EXITED and container.exit_code == 0
