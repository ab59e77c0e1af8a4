"""`tailoredKubeletConfig`: what EdgeCore keeps of KubeletConfiguration (kubelet.config.k8s.io/v1beta1).

Fields and defaults: KubeEdge `staging/src/github.com/kubeedge/api/apis/componentconfig/edgecore/v1alpha2`
(docs/reference/configuration.md). Durations are text as in YAML (`edgelab.settings.durations`);
None means "not set", which for the kubelet differs from any value.
"""

from __future__ import annotations

from typing import Any

import msgspec

CONTAINERD = "unix:///run/containerd/containerd.sock"


def eviction_hard() -> dict[str, str]:
    """The kubelet's own hard eviction thresholds on Linux."""
    return {
        "memory.available": "100Mi",
        "nodefs.available": "10%",
        "nodefs.inodesFree": "5%",
        "imagefs.available": "15%",
        "imagefs.inodesFree": "5%",
    }


class Taint(msgspec.Struct, omit_defaults=True):
    """core/v1 Taint."""

    key: str
    effect: str
    value: str = ""
    timeAdded: str | None = None


class TailoredKubeletConfig(msgspec.Struct):
    """Fields named as in YAML; times are Go durations, percentages whole numbers."""

    staticPodPath: str = "/etc/kubeedge/manifests"
    podLogsDir: str = "/var/log/pods"
    syncFrequency: str = "1m"
    fileCheckFrequency: str = "20s"
    address: str = "127.0.0.1"
    readOnlyPort: int = 10350
    registryPullQPS: int = 5
    registryBurst: int = 10
    eventRecordQPS: int = 50
    eventBurst: int = 100
    enableDebuggingHandlers: bool = True
    enableContentionProfiling: bool = False
    oomScoreAdj: int = -999
    clusterDomain: str = "cluster.local"
    clusterDNS: list[str] = []
    streamingConnectionIdleTimeout: str = "4h"
    nodeStatusUpdateFrequency: str = "10s"
    nodeStatusReportFrequency: str = "5m"
    nodeLeaseDurationSeconds: int = 40
    imageMinimumGCAge: str = "2m"
    imageMaximumGCAge: str = "0s"
    imageGCHighThresholdPercent: int = 85
    imageGCLowThresholdPercent: int = 80
    volumeStatsAggPeriod: str = "1m"
    kubeletCgroups: str = ""
    systemCgroups: str = ""
    cgroupRoot: str = ""
    cgroupsPerQOS: bool = True
    cgroupDriver: str = "cgroupfs"
    singleProcessOOMKill: bool | None = None
    cpuManagerPolicy: str = "none"
    cpuManagerPolicyOptions: dict[str, str] = {}
    cpuManagerReconcilePeriod: str = "10s"
    memoryManagerPolicy: str = "None"
    topologyManagerPolicy: str = "none"
    topologyManagerScope: str = "container"
    topologyManagerPolicyOptions: dict[str, str] = {}
    qosReserved: dict[str, str] = {}
    runtimeRequestTimeout: str = "2m"
    hairpinMode: str = "promiscuous-bridge"
    maxPods: int = 110
    podCIDR: str = ""
    podPidsLimit: int = -1
    resolvConf: str = "/etc/resolv.conf"
    cpuCFSQuota: bool = True
    cpuCFSQuotaPeriod: str = "100ms"
    nodeStatusMaxImages: int = 0
    maxOpenFiles: int = 1000000
    contentType: str = "application/json"
    serializeImagePulls: bool = True
    maxParallelImagePulls: int | None = None
    evictionHard: dict[str, str] = msgspec.field(default_factory=eviction_hard)
    evictionSoft: dict[str, str] = {}
    evictionSoftGracePeriod: dict[str, str] = {}
    evictionPressureTransitionPeriod: str = "5m"
    evictionMaxPodGracePeriod: int = 0
    evictionMinimumReclaim: dict[str, str] = {}
    podsPerCore: int = 0
    enableControllerAttachDetach: bool = True
    protectKernelDefaults: bool = False
    makeIPTablesUtilChains: bool = True
    iptablesMasqueradeBit: int = 14
    iptablesDropBit: int = 15
    featureGates: dict[str, bool] = {}
    failSwapOn: bool = False
    memorySwap: dict[str, Any] = {}
    containerLogMaxSize: str = "10Mi"
    containerLogMaxFiles: int = 5
    containerLogMaxWorkers: int = 1
    containerLogMonitorInterval: str = "10s"
    configMapAndSecretChangeDetectionStrategy: str = "Get"
    systemReserved: dict[str, str] = {}
    kubeReserved: dict[str, str] = {}
    reservedSystemCPUs: str = ""
    systemReservedCgroup: str = ""
    kubeReservedCgroup: str = ""
    enforceNodeAllocatable: list[str] = msgspec.field(default_factory=lambda: ["pods"])
    allowedUnsafeSysctls: list[str] = []
    volumePluginDir: str = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"
    kernelMemcgNotification: bool = False
    logging: dict[str, Any] = {}
    enableSystemLogHandler: bool = True
    enableSystemLogQuery: bool | None = None
    shutdownGracePeriod: str = "0s"
    shutdownGracePeriodCriticalPods: str = "0s"
    shutdownGracePeriodByPodPriority: list[dict[str, Any]] = []
    crashLoopBackOff: dict[str, Any] = {}
    reservedMemory: list[dict[str, Any]] = []
    enableProfilingHandler: bool = True
    enableDebugFlagsHandler: bool = True
    seccompDefault: bool = False
    memoryThrottlingFactor: float = 0.9
    registerWithTaints: list[Taint] = []
    registerNode: bool = True
    localStorageCapacityIsolation: bool = True
    containerRuntimeEndpoint: str = CONTAINERD
    imageServiceEndpoint: str = CONTAINERD
    failCgroupV1: bool = False
    showHiddenMetricsForVersion: str = ""

    @property
    def image_endpoint(self) -> str:
        """Where images are managed: the runtime's own socket unless another one is named."""
        named = self.imageServiceEndpoint not in ("", CONTAINERD)
        return self.imageServiceEndpoint if named else self.containerRuntimeEndpoint


DURATIONS = (
    "syncFrequency",
    "fileCheckFrequency",
    "streamingConnectionIdleTimeout",
    "nodeStatusUpdateFrequency",
    "nodeStatusReportFrequency",
    "imageMinimumGCAge",
    "imageMaximumGCAge",
    "volumeStatsAggPeriod",
    "cpuManagerReconcilePeriod",
    "runtimeRequestTimeout",
    "cpuCFSQuotaPeriod",
    "evictionPressureTransitionPeriod",
    "containerLogMonitorInterval",
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
)
"""The fields of TailoredKubeletConfig that hold a duration."""
