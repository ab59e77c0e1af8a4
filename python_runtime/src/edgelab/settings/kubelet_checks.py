"""Whether `tailoredKubeletConfig` makes sense (kubelet `pkg/kubelet/apis/config/validation`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgelab.settings import checks
from edgelab.settings.document import Problem

if TYPE_CHECKING:
    from edgelab.settings.kubelet import TailoredKubeletConfig

WHERE = "modules.edged.tailoredKubeletConfig"
COUNTS = (
    *("registryPullQPS", "registryBurst", "eventRecordQPS", "eventBurst", "maxOpenFiles", "podsPerCore"),
    "evictionMaxPodGracePeriod",
)
FROM_ONE = ("nodeLeaseDurationSeconds", "containerLogMaxWorkers", "containerLogMaxFiles", "maxPods")
CHOICES = {
    "cgroupDriver": ("cgroupfs", "systemd"),
    "cpuManagerPolicy": ("none", "static"),
    "memoryManagerPolicy": ("None", "Static"),
    "topologyManagerPolicy": ("none", "best-effort", "restricted", "single-numa-node"),
    "topologyManagerScope": ("container", "pod"),
    "hairpinMode": ("promiscuous-bridge", "hairpin-veth", "none"),
    "configMapAndSecretChangeDetectionStrategy": ("Get", "Cache", "Watch"),
}
RESERVABLE: tuple[str, ...] = ("none", "pods", "system-reserved", "kube-reserved")
RESERVABLE += ("system-reserved-compressible", "kube-reserved-compressible")  # since 1.32
SIGNALS = (
    *("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"),
    *("containerfs.available", "containerfs.inodesFree", "allocatableMemory.available", "pid.available"),
)


def problems(kubelet: TailoredKubeletConfig) -> Iterator[Problem]:
    """Every reason for which the kubelet would not start with these settings; durations apart."""
    yield from checks.one_of(WHERE, kubelet, CHOICES)
    yield from checks.every(WHERE, kubelet, COUNTS, checks.at_least(0), "0 or more")
    yield from checks.every(WHERE, kubelet, FROM_ONE, checks.at_least(1), "1 or more")
    yield from _limits(kubelet)
    yield from _places(kubelet)
    yield from _images(kubelet)
    yield from _evictions(kubelet)
    yield from _reserved(kubelet)


def _limits(kubelet: TailoredKubeletConfig) -> Iterator[Problem]:
    yield from checks.every(WHERE, kubelet, ("oomScoreAdj",), checks.within(-1000, 1000), "-1000 to 1000")
    unlimited = ("podPidsLimit", "nodeStatusMaxImages")
    yield from checks.every(WHERE, kubelet, unlimited, checks.at_least(-1), "-1 or more")
    bits = ("iptablesMasqueradeBit", "iptablesDropBit")
    yield from checks.every(WHERE, kubelet, bits, checks.within(0, 31), "0 to 31")
    if kubelet.iptablesMasqueradeBit == kubelet.iptablesDropBit:
        yield Problem(f"{WHERE}.iptablesDropBit", "must differ from iptablesMasqueradeBit")
    factor = checks.within(0, 1)
    yield from checks.every(WHERE, kubelet, ("memoryThrottlingFactor",), factor, "more than 0, at most 1")
    yield from checks.every(
        WHERE, kubelet, ("containerLogMaxSize",), checks.is_quantity, "a size such as 10Mi"
    )


def _places(kubelet: TailoredKubeletConfig) -> Iterator[Problem]:
    yield from checks.every(WHERE, kubelet, ("address",), checks.is_ip, "an IP address")
    sockets = ("containerRuntimeEndpoint", "imageServiceEndpoint")
    yield from checks.every(
        WHERE,
        kubelet,
        [name for name in sockets if getattr(kubelet, name)],
        checks.is_socket,
        "unix:///path/of/the.sock",
    )
    files = ("staticPodPath", "podLogsDir", "resolvConf", "volumePluginDir")
    named = [name for name in files if getattr(kubelet, name)]
    yield from checks.every(WHERE, kubelet, named, checks.is_absolute, "a path that begins with /")
    servers = enumerate(kubelet.clusterDNS)
    yield from checks.each(f"{WHERE}.clusterDNS", servers, checks.is_ip, "an IP address")
    if kubelet.podCIDR:
        yield from checks.every(WHERE, kubelet, ("podCIDR",), checks.is_network, "such as 10.0.0.0/24")


def _images(kubelet: TailoredKubeletConfig) -> Iterator[Problem]:
    percents = ("imageGCHighThresholdPercent", "imageGCLowThresholdPercent")
    yield from checks.every(WHERE, kubelet, percents, checks.within(0, 100), "a percentage, 0 to 100")
    if kubelet.imageGCLowThresholdPercent >= kubelet.imageGCHighThresholdPercent:
        yield Problem(f"{WHERE}.imageGCLowThresholdPercent", "must be below imageGCHighThresholdPercent")
    parallel = kubelet.maxParallelImagePulls
    if parallel is not None and parallel < 1:
        yield Problem(f"{WHERE}.maxParallelImagePulls", f"{parallel}: expected 1 or more")
    elif parallel is not None and parallel > 1 and kubelet.serializeImagePulls:
        yield Problem(f"{WHERE}.maxParallelImagePulls", "more than 1 needs serializeImagePulls: false")


def _evictions(kubelet: TailoredKubeletConfig) -> Iterator[Problem]:
    for name in ("evictionHard", "evictionSoft", "evictionMinimumReclaim"):
        values: dict[str, str] = getattr(kubelet, name)
        where = f"{WHERE}.{name}"
        yield from checks.each(where, values.items(), checks.is_threshold, "a size such as 100Mi, or 10%")
        yield from (
            Problem(f"{where}.{key}", "is no eviction signal") for key in values if key not in SIGNALS
        )
    graces = kubelet.evictionSoftGracePeriod
    where = f"{WHERE}.evictionSoftGracePeriod"
    yield from checks.each(where, graces.items(), checks.is_duration, "a duration such as 1m30s")
    for key in kubelet.evictionSoft.keys() - graces.keys():
        yield Problem(f"{where}.{key}", "is missing: a soft threshold needs a grace period")


def _reserved(kubelet: TailoredKubeletConfig) -> Iterator[Problem]:
    for name in ("systemReserved", "kubeReserved"):
        values: dict[str, str] = getattr(kubelet, name)
        where = f"{WHERE}.{name}"
        yield from checks.each(where, values.items(), checks.is_quantity, "a quantity such as 200m or 100Mi")
    reserved = kubelet.qosReserved.items()
    yield from checks.each(f"{WHERE}.qosReserved", reserved, checks.is_percentage, "a percentage such as 50%")
    where = f"{WHERE}.enforceNodeAllocatable"
    known = ", ".join(RESERVABLE)
    yield from checks.each(
        where, enumerate(kubelet.enforceNodeAllocatable), RESERVABLE.__contains__, f"one of {known}"
    )
    for number, taint in enumerate(kubelet.registerWithTaints):
        where = f"{WHERE}.registerWithTaints[{number}]"
        if not checks.is_label_key(taint.key):
            yield Problem(f"{where}.key", f"{taint.key!r} is no taint key")
        yield from checks.one_of(where, taint, {"effect": checks.EFFECTS})
