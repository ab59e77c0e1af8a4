"""Values that make no sense are refused by the name of their field; older keys are moved or named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from edgelab.settings import cloudcore, edgecore
from edgelab.settings.document import parse

VECTORS = Path(__file__).parent / "vectors"
KUBELET = "modules.edged.tailoredKubeletConfig"


def edge(path: str, value: object) -> list[str]:
    for key in reversed(path.split("/")):
        value = {key: value}
    settings = parse(yaml.safe_dump(value), edgecore.EdgeCore()).settings
    return [problem.field for problem in edgecore.validate(settings)]


def cloud(path: str, value: object) -> list[str]:
    for key in reversed(path.split("/")):
        value = {key: value}
    settings = parse(yaml.safe_dump(value), cloudcore.CloudCore()).settings
    return [problem.field for problem in cloudcore.validate(settings)]


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("cgroupDriver", "cgroups", "systemd"),
        ("hairpinMode", "maybe", "none"),
        ("cpuManagerPolicy", "dynamic", "static"),
        ("topologyManagerScope", "node", "pod"),
        ("oomScoreAdj", -1001, 0),
        ("maxPods", 0, 1),
        ("podPidsLimit", -2, 100),
        ("nodeLeaseDurationSeconds", 0, 1),
        ("registryPullQPS", -1, 0),
        ("iptablesMasqueradeBit", 32, 31),
        ("iptablesDropBit", 14, 16),
        ("containerLogMaxSize", "ten", "5Mi"),
        ("containerLogMaxFiles", 0, 2),
        ("address", "localhost", "::1"),
        ("podCIDR", "10.0.0.0/33", "10.0.0.0/24"),
        ("resolvConf", "resolv.conf", "/run/resolv.conf"),
        ("containerRuntimeEndpoint", "tcp://1.2.3.4:1", "unix:///run/crio/crio.sock"),
        ("imageGCLowThresholdPercent", 85, 84),
        ("imageGCHighThresholdPercent", 101, 100),
        ("maxParallelImagePulls", 2, 1),
        ("syncFrequency", "often", "1m30s"),
        ("imageMinimumGCAge", "2", "2m"),
    ],
)
def test_a_kubelet_value_out_of_range_is_named_and_one_in_range_is_not(
    name: str, wrong: object, right: object
) -> None:
    assert edge(f"modules/edged/tailoredKubeletConfig/{name}", wrong) == [f"{KUBELET}.{name}"]
    assert edge(f"modules/edged/tailoredKubeletConfig/{name}", right) == []


@pytest.mark.parametrize(
    ("name", "wrong", "field"),
    [
        ("clusterDNS", ["10.0.0.10", "dns"], "clusterDNS[1]"),
        ("evictionHard", {"memory.available": "little"}, "evictionHard.memory.available"),
        ("evictionHard", {"nodefs.available": "110%"}, "evictionHard.nodefs.available"),
        ("evictionHard", {"memory.free": "1Mi"}, "evictionHard.memory.free"),
        ("evictionSoft", {"memory.available": "1Gi"}, "evictionSoftGracePeriod.memory.available"),
        ("evictionSoftGracePeriod", {"memory.available": "long"}, "evictionSoftGracePeriod.memory.available"),
        ("systemReserved", {"cpu": "much"}, "systemReserved.cpu"),
        ("qosReserved", {"memory": "50"}, "qosReserved.memory"),
        ("enforceNodeAllocatable", ["pod"], "enforceNodeAllocatable[0]"),
        ("registerWithTaints", [{"key": "a b", "effect": "NoSchedule"}], "registerWithTaints[0].key"),
        ("registerWithTaints", [{"key": "a", "effect": "Never"}], "registerWithTaints[0].effect"),
    ],
)
def test_an_entry_of_a_list_or_mapping_is_named(name: str, wrong: object, field: str) -> None:
    assert edge(f"modules/edged/tailoredKubeletConfig/{name}", wrong) == [f"{KUBELET}.{field}"]


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ("database/driverName", "mysql", "sqlite3"),
        ("modules/edged/nodeIP", "here", "192.0.2.1"),
        ("modules/edged/rootDirectory", "kubelet", "/data/kubelet"),
        ("modules/edged/hostnameOverride", "Edge_1", "edge-1.example"),
        ("modules/edged/maxPerPodContainerCount", -2, -1),
        ("modules/edgeHub/httpServer", "http://192.0.2.1:10002", "https://[2001:db8::1]:10002"),
        ("modules/edgeHub/httpServer", "https://192.0.2.1:port", "https://cloud.example"),
        ("modules/edgeHub/websocket/server", "192.0.2.1", "[2001:db8::1]:10000"),
        ("modules/edgeHub/websocket/server", "2001:db8::1:10000", "cloud:1"),
        ("modules/edgeHub/websocket/readDeadline", 0, 1),
        ("modules/edgeHub/messageQPS", -1, 0),
        ("modules/edgeHub/tlsCaFile", "", "/ca"),
        ("modules/eventBus/mqttQOS", 3, 2),
        ("modules/eventBus/mqttServerExternal", "127.0.0.1:1883", "ssl://broker:8883"),
        ("modules/eventBus/mqttServerExternal", "ws://broker:80", "mqtts://broker"),
        ("modules/eventBus/mqttSessionQueueSize", 0, 1),
        ("edgelab/mqtt/externalVersion", "3.1", "5"),
        ("edgelab/mqtt/maximumPacketSize", 0, 1024),
        ("edgelab/mqtt/maximumPacketSize", 1 << 28, 12 << 20),
        ("edgelab/mqtt/passwordFile", "passwords", "/etc/kubeedge/mqtt/passwords"),
        ("edgelab/mqtt/aclFile", "acl", ""),
        ("modules/metaManager/remoteQueryTimeout", 0, 1),
        ("modules/deviceTwin/dmiSockPath", "dmi", "/run/dmi"),
    ],
)
def test_an_edge_value_that_makes_no_sense_is_named(path: str, wrong: object, right: object) -> None:
    assert edge(path, wrong) == [path.replace("/", ".")]
    assert edge(path, right) == []


def test_two_brokers_need_two_addresses() -> None:
    same = {"mqttServerInternal": "ssl://127.0.0.1:1883", "mqttServerExternal": "tcp://127.0.0.1:1883"}
    assert edge("modules/eventBus", {"mqttMode": 1, **same}) == ["modules.eventBus.mqttServerInternal"]
    assert edge("modules/eventBus", {"mqttMode": 2, **same}) == []
    broken = {"mqttMode": 1, "mqttServerExternal": "tcp://[::1"}
    assert edge("modules/eventBus", broken) == ["modules.eventBus.mqttServerExternal"]


def test_a_module_that_is_off_need_not_make_sense() -> None:
    assert edge("modules/eventBus", {"enable": False, "mqttServerExternal": "nowhere"}) == []
    assert edge("modules/edgeStream", {"server": "nowhere"}) == []
    assert edge("modules/edgeStream", {"enable": True, "server": "nowhere"}) == ["modules.edgeStream.server"]


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ("kubeAPIConfig/kubeConfig", "kubeconfig", "/root/.kube/config"),
        ("kubeAPIConfig/master", "192.0.2.1:6443", "https://192.0.2.1:6443"),
        ("kubeAPIConfig/qps", -1, 100),
        ("commonConfig/tunnelPort", 70000, 10351),
        ("modules/cloudHub/websocket/address", "eth0", "::"),
        ("modules/cloudHub/quic/port", -1, 10001),
        ("modules/cloudHub/unixsocket/address", "/run/kubeedge.sock", "unix:///run/kubeedge.sock"),
        ("modules/cloudHub/tokenRefreshDuration", 0, 1),
        ("modules/cloudHub/edgeCertSigningDuration", 0, 1),
        ("modules/edgeController/nodeUpdateFrequency", 0, 1),
        ("modules/edgeController/buffer/patchPod", -1, 0),
        ("modules/deviceController/load/updateDeviceStatusWorkers", 0, 1),
        ("modules/iptablesManager/mode", "inside", "external"),
        ("modules/router/restTimeout", 0, 1),
    ],
)
def test_a_cloud_value_that_makes_no_sense_is_named(path: str, wrong: object, right: object) -> None:
    assert cloud(path, wrong) == [path.replace("/", ".")]
    assert cloud(path, right) == []


def test_a_misspelt_key_is_named_with_the_one_that_was_meant() -> None:
    text = "modules: {edged: {hostnameOveride: a}, edgeHub: {nothingLikeIt: 1}}"
    unknown = parse(text, edgecore.EdgeCore()).unknown
    assert [str(problem) for problem in unknown] == [
        "modules.edged.hostnameOveride: unknown field; did you mean hostnameOverride?",
        "modules.edgeHub.nothingLikeIt: unknown field",
    ]


def test_a_key_in_another_case_counts_as_in_go_and_is_named() -> None:
    text = "modules: {edgehub: {HTTPServer: 'https://a:1'}, edgeHub: {heartbeat: 7}}"
    assert [p.field for p in parse(text, edgecore.EdgeCore()).unknown] == ["modules.edgehub"]
    loaded = parse("modules: {edgehub: {HTTPServer: 'https://a:1'}}", edgecore.EdgeCore())
    assert loaded.settings.modules.edgeHub.httpServer == "https://a:1"
    assert [str(p) for p in loaded.outdated] == [
        "modules.edgehub: is written edgeHub",
        "modules.edgeHub.HTTPServer: is written httpServer",
    ]


def test_the_tutorial_s_edgecore_file_is_read_directly_and_its_outdated_keys_are_named() -> None:
    text = (VECTORS / "edgecore-v1alpha1.yaml").read_text()
    loaded = parse(text, edgecore.EdgeCore(), migrate=edgecore.PROGRAM.migrate)
    assert (loaded.unknown, edgecore.validate(loaded.settings)) == ([], [])
    edged = loaded.settings.modules.edged
    assert (edged.hostnameOverride, edged.nodeIP) == ("node35", "192.0.2.35")
    assert edged.tailoredKubeletConfig.cgroupDriver == "systemd"
    assert {p.field for p in loaded.outdated} >= {
        "apiVersion",
        *(f"modules.edged.{key}" for key in ("devicePluginEnabled", "remoteRuntimeEndpoint")),
    }


def test_keys_that_cloudcore_had_once_are_moved_or_named_with_the_reason() -> None:
    text = """
    leaderelection: {leaderElect: true}
    modules:
      edgeController: {context: {sendModule: cloudhub}, buffer: {queryService: 1024, updatePodStatus: 9}}
      nodeUpgradeJobController: {enable: true, buffer: {nodeUpgradeJobStatus: 7}}
    """
    loaded = parse(text, cloudcore.CloudCore(), migrate=cloudcore.PROGRAM.migrate)
    assert loaded.unknown == []
    assert loaded.settings.modules.taskManager.enable
    assert loaded.settings.modules.taskManager.buffer.taskStatus == 7
    assert loaded.settings.modules.edgeController.buffer.updatePodStatus == 9
    assert {p.field: p.message.split(":")[0] for p in loaded.outdated} == {
        "leaderelection": "removed",
        "modules.edgeController.context": "removed",
        "modules.edgeController.buffer.queryService": "removed",
        "modules.nodeUpgradeJobController": "moved",
    }
