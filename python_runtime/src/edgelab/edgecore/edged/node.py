"""The Node object as this node sees itself (kubelet `nodestatus/setters.go`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgecore.edged import machine
from edgelab.objects import quantity
from edgelab.settings.edgecore import Edged as Settings

Obj = dict[str, Any]

KUBELET_VERSION = "v1.32.10-kubeedge-v1.23.0"
"""The Kubernetes and KubeEdge releases whose behaviour this is; tools parse what follows `-kubeedge-`."""

STORE_PROBLEM = "StoreProblem"
"""A condition of ours: True while the store was restored, was lost or cannot be written."""

ATTACH_DETACH = "volumes.kubernetes.io/controller-managed-attach-detach"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What decides the node's conditions: an empty `problem` means Ready."""

    problem: str
    memory: bool = False
    disk: bool = False
    pids: bool = False


class NodeView:
    """Builds the Node from the settings and the machine; `runtime` reads like `containerd://1.6.20`."""

    def __init__(self, settings: Settings, name: str, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.name = name
        self.runtime: Callable[[], str] = str
        self.machine = machine.measure(Path(settings.rootDirectory))
        self.pressing: Callable[[], list[str]] = list
        self.images: Callable[[], list[Obj]] = list
        self.store_problem: Callable[[], tuple[str, str]] = lambda: ("", "")

    @property
    def address(self) -> str:
        """The node's own address: nodeIP, else that of customInterfaceName, else the outgoing one."""
        settings = self._settings
        if settings.nodeIP:
            return settings.nodeIP.split(",")[0]
        found = machine.address_of(settings.customInterfaceName) if settings.customInterfaceName else ""
        return found or machine.default_address()

    def labels(self) -> dict[str, str]:
        """The labels that a kubelet of KubeEdge owns, and those of the settings."""
        arch = machine.architecture()
        return {
            "beta.kubernetes.io/arch": arch,
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": arch,
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "node-role.kubernetes.io/agent": "",
            "node-role.kubernetes.io/edge": "",
            **self._settings.nodeLabels,
        }

    def new(self, conditions: Conditions) -> Obj:
        """The object to register."""
        config = self._settings.tailoredKubeletConfig
        taints = [msgspec.to_builtins(taint) for taint in config.registerWithTaints]
        spec: Obj = {}
        if not self._settings.registerSchedulable:
            spec["unschedulable"] = True
            taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
        if taints:
            spec["taints"] = taints
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": self.labels(),
                "annotations": {ATTACH_DETACH: "true"},
            },
            "spec": spec,
            "status": self.status(conditions, {}),
        }

    def capacity(self) -> dict[str, str]:
        """What the node has."""
        return {
            "cpu": str(self.machine.cpus),
            "memory": f"{self.machine.memory // 1024}Ki",
            "ephemeral-storage": f"{self.machine.disk // 1024}Ki",
            "hugepages-2Mi": "0",
            "pods": str(self._settings.tailoredKubeletConfig.maxPods),
        }

    def allocatable(self) -> dict[str, str]:
        """What pods may have: capacity without reservations and hard eviction thresholds."""
        config, given = self._settings.tailoredKubeletConfig, self.capacity()
        cpu = self.machine.cpus * 1000 - self.reserved("cpu", milli=True)
        memory = self.machine.memory - self.reserved("memory")
        memory -= _size(config.evictionHard.get("memory.available", "0"), self.machine.memory)
        disk = self.machine.disk - self.reserved("ephemeral-storage")
        disk -= _size(config.evictionHard.get("nodefs.available", "0"), self.machine.disk)
        return {
            **given,
            "cpu": str(cpu // 1000) if cpu % 1000 == 0 else f"{cpu}m",
            "memory": f"{max(0, memory) // 1024}Ki",
            "ephemeral-storage": str(max(0, disk)),
        }

    def status(self, conditions: Conditions, before: Obj) -> Obj:
        """`status` without what the cloud owns; transition times are kept from `before`."""
        return {
            "capacity": self.capacity(),
            "allocatable": self.allocatable(),
            "conditions": self._conditions(conditions, before.get("conditions") or []),
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.name},
            ],
            "daemonEndpoints": {
                "kubeletEndpoint": {"Port": self._settings.tailoredKubeletConfig.readOnlyPort}
            },
            "nodeInfo": machine.node_info(KUBELET_VERSION, self.runtime()),
            **({"images": images} if (images := self.images()) else {}),
        }

    def pressure(self, problem: str) -> Conditions:
        """The conditions now; `problem` says why pods cannot run, if so."""
        pressing = self.pressing()
        return Conditions(
            problem,
            memory="MemoryPressure" in pressing,
            disk="DiskPressure" in pressing,
            pids="PIDPressure" in pressing,
        )

    def reserved(self, resource: str, *, milli: bool = False) -> int:
        """What systemReserved and kubeReserved keep from pods, in base units or thousandths."""
        config = self._settings.tailoredKubeletConfig
        convert = quantity.milli if milli else quantity.whole
        amounts = (reserved.get(resource) for reserved in (config.systemReserved, config.kubeReserved))
        return sum(convert(amount) for amount in amounts if amount)

    def _conditions(self, now: Conditions, before: list[Obj]) -> list[Obj]:
        wanted = [
            _pressure("MemoryPressure", now.memory, "Memory", "memory available"),
            _pressure("DiskPressure", now.disk, "Disk", "disk pressure", plain=True),
            _pressure("PIDPressure", now.pids, "PID", "PID available"),
            *_store(*self.store_problem(), before),
            _ready(now.problem),
        ]
        moment = rfc3339(self._clock.now())
        return [_with_times(condition, before, moment) for condition in wanted]


def _pressure(kind: str, low: bool, word: str, text: str, *, plain: bool = False) -> Obj:
    if low:
        reason, what = (
            f"KubeletHas{'Insufficient' if not plain else ''}{word}",
            f"kubelet has insufficient {text}",
        )
        if plain:
            reason, what = f"KubeletHas{word}Pressure", f"kubelet has {text}"
    else:
        reason, what = f"KubeletHasSufficient{word}", f"kubelet has sufficient {text}"
        if plain:
            reason, what = f"KubeletHasNo{word}Pressure", f"kubelet has no {text}"
    return {"type": kind, "status": "True" if low else "False", "reason": reason, "message": what}


def _store(reason: str, text: str, before: list[Obj]) -> list[Obj]:
    """The condition of the store; a node that never had to tell of it has none, like any other node."""
    if reason:
        return [{"type": STORE_PROBLEM, "status": "True", "reason": reason, "message": text}]
    if any(condition.get("type") == STORE_PROBLEM for condition in before):
        text = "the store is sound and can be written"
        return [{"type": STORE_PROBLEM, "status": "False", "reason": "StoreIntact", "message": text}]
    return []


def _ready(problem: str) -> Obj:
    if problem:
        return {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": problem}
    text = "kubelet is posting ready status"
    return {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": text}


def _with_times(condition: Obj, before: list[Obj], moment: str) -> Obj:
    old = next((c for c in before if c.get("type") == condition["type"]), None)
    same = old is not None and old.get("status") == condition["status"]
    since = (old or {}).get("lastTransitionTime") if same else None
    return {**condition, "lastHeartbeatTime": moment, "lastTransitionTime": since or moment}


def _size(threshold: str, total: int) -> int:
    if threshold.endswith("%"):
        return int(total * float(threshold[:-1]) / 100)
    return quantity.whole(threshold)
