"""Whether a pod may run on this node at all (kubelet `lifecycle/predicate.go`, `sysctl/allowlist.go`).

The scheduler has asked the same before; the node asks again, because pods come to it without a scheduler
(`nodeName`), from two clouds at once, or after it has changed. A pod that is refused is Failed for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from edgelab.edgecore.edged import affinity, podspec
from edgelab.objects import quantity

Obj = dict[str, Any]

SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""What a pod may set without asking the node's administrator (`sysctl/safe_sysctls.go` of 1.32)."""

IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")


class Refusal(NamedTuple):
    """Reason and message of the pod's status."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The node as pods see it; `allocatable` and `unsafe_sysctls` (patterns) from its settings."""

    name: str
    allocatable: Mapping[str, str]
    labels: Mapping[str, str] | None = None
    taints: Sequence[Obj] = ()
    unsafe_sysctls: Sequence[str] = field(default_factory=tuple)


def check(pod: Obj, others: Sequence[Obj], node: NodeFacts) -> Refusal | None:
    """Why the pod cannot run beside the others; None when it can."""
    found = (
        _system(pod, node)
        or _resources(pod, others, node)
        or _place(pod, node)
        or _ports(pod, others)
        or _sysctls(pod, node)
        or _apparmor(pod)
    )
    return None if found is None else Refusal(found.reason, f"Pod was rejected: {found.message}")


def _system(pod: Obj, node: NodeFacts) -> Refusal | None:
    wanted = (pod["spec"].get("os") or {}).get("name")
    if wanted not in (None, "", "linux"):
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    selected = (pod["spec"].get("nodeSelector") or {}).get("kubernetes.io/os")
    if selected not in (None, "linux"):
        text = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Refusal("PodOSSelectorNodeLabelDoesNotMatch", text)
    return None


def _resources(pod: Obj, others: Sequence[Obj], node: NodeFacts) -> Refusal | None:
    wanted = requests(pod)
    for name in ("pods", *wanted):
        if name not in node.allocatable:
            continue  # an extended resource that this node does not have: not the node's to judge
        count = quantity.milli if name == "cpu" else quantity.whole
        asked = 1 if name == "pods" else count(quantity.text_of(wanted[name]))
        used = len(others) if name == "pods" else sum(_count(other, name, count) for other in others)
        capacity = count(node.allocatable[name])
        if asked and used + asked > capacity:
            text = f"requested: {asked}, used: {used}, capacity: {capacity}"
            return Refusal(f"OutOf{name}", f"Node didn't have enough resource: {name}, {text}")
    return None


def _count(pod: Obj, name: str, count: Any) -> int:
    value = requests(pod).get(name)
    return 0 if value is None else int(count(quantity.text_of(value)))


def requests(pod: Obj) -> dict[str, Decimal]:
    """What a pod asks for: the app with its sidecars, or an init container with those before it, if more."""
    steady: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in podspec.init_containers(pod):
        own = _requests(container)
        if podspec.is_sidecar(container):
            steady = _sum(steady, own)
            own = {}
        peak = _most(peak, _sum(steady, own))
    for container in podspec.containers(pod):
        steady = _sum(steady, _requests(container))
    overhead = {name: quantity.parse(value) for name, value in (pod["spec"].get("overhead") or {}).items()}
    return _sum(_most(steady, peak), overhead)


def _requests(container: Obj) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    names = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    found = ((name, podspec.amount(container, "requests", name)) for name in names)
    return {name: quantity.parse(text) for name, text in found if text is not None}


def _sum(one: dict[str, Decimal], other: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in {**one, **other}}


def _most(one: dict[str, Decimal], other: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in {**one, **other}}


def _place(pod: Obj, node: NodeFacts) -> Refusal | None:
    if node.labels is not None and not affinity.fits(pod, node.name, node.labels):
        text = "node(s) didn't match Pod's node affinity/selector"
        return Refusal("NodeAffinity", f"Predicate NodeAffinity failed: {text}")
    tolerations = pod["spec"].get("tolerations") or []
    for taint in node.taints:
        if taint.get("effect") == "NoExecute" and not any(_tolerates(t, taint) for t in tolerations):
            text = "node(s) had taints that the pod didn't tolerate"
            return Refusal("TaintToleration", f"Predicate TaintToleration failed: {text}")
    return None


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if key not in ("", taint["key"]) or (not key and operator != "Exists"):
        return False
    return operator == "Exists" or (toleration.get("value") or "") == (taint.get("value") or "")


def _ports(pod: Obj, others: Sequence[Obj]) -> Refusal | None:
    taken = [port for other in others for port in _host_ports(other)]
    for ip, protocol, number in _host_ports(pod):
        if any(
            (number, protocol) == (port, kind) and (ip == where or "0.0.0.0" in (ip, where))  # noqa: S104
            for where, kind, port in taken
        ):
            text = "node(s) didn't have free ports for the requested pod ports"
            return Refusal("NodePorts", f"Predicate NodePorts failed: {text}")
    return None


def _host_ports(pod: Obj) -> list[tuple[str, str, int]]:
    return [
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))  # noqa: S104
        for container in [*podspec.sidecars(pod), *podspec.containers(pod)]
        for port in container.get("ports") or []
        if port.get("hostPort")
    ]


def _sysctls(pod: Obj, node: NodeFacts) -> Refusal | None:
    for item in (pod["spec"].get("securityContext") or {}).get("sysctls") or []:
        name = str(item["name"]).replace("/", ".")
        problem = ""
        if not _allowed(name, node.unsafe_sysctls):
            problem = "not allowlisted"
        elif pod["spec"].get("hostNetwork") and name.startswith("net."):
            problem = "not allowed with host net enabled"
        elif pod["spec"].get("hostIPC") and name.startswith(IPC_SYSCTLS):
            problem = "not allowed with host ipc enabled"
        if problem:
            return Refusal("SysctlForbidden", f'forbidden sysctl: "{name}" {problem}')
    return None


def _allowed(name: str, unsafe: Sequence[str]) -> bool:
    if name in SAFE_SYSCTLS or name in unsafe:
        return True
    return any(pattern.endswith("*") and name.startswith(pattern[:-1]) for pattern in unsafe)


def _apparmor(pod: Obj) -> Refusal | None:
    profiles = [podspec.apparmor_profile(pod, container) for container in podspec.every_container(pod)]
    wanted = any(kind not in ("", "Unconfined") for kind, _ in profiles)
    if not wanted or _apparmor_enabled():
        return None
    return Refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")


def _apparmor_enabled() -> bool:
    try:
        return APPARMOR.read_text().startswith("Y")
    except OSError:
        return False
