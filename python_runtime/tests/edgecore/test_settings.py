"""edgecore.yaml: KubeEdge's file is read as KubeEdge reads it, and findings name the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from edgelab.settings.commandline import handle, parser
from edgelab.settings.document import ConfigError, dump, parse
from edgelab.settings.durations import seconds
from edgelab.settings.edgecore import PROGRAM, EdgeCore, minimal, validate
from edgelab.settings.edgecore_v1alpha1 import migrate
from edgelab.settings.kubelet import CONTAINERD

VECTORS = Path(__file__).parent / "vectors"


def problems(text: str) -> dict[str, str]:
    return {p.field: p.message for p in validate(parse(text, EdgeCore(), migrate=migrate).settings)}


def test_the_default_configuration_reads_back_as_itself_and_is_valid() -> None:
    loaded = parse(dump(EdgeCore()), EdgeCore())
    assert loaded.settings == EdgeCore()
    assert loaded.unknown == []
    assert validate(loaded.settings) == []


def test_the_minimal_configuration_changes_no_default() -> None:
    loaded = parse(dump(minimal()), EdgeCore())
    assert loaded.settings == EdgeCore()
    assert loaded.unknown == []


def test_keys_in_the_file_override_and_the_rest_keeps_its_default() -> None:
    text = """
    modules:
      edged: {hostnameOverride: edge1, tailoredKubeletConfig: {cgroupDriver: systemd}}
      edgeHub: {websocket: {server: '10.0.0.1:10000'}}
      eventBus: {enable: false}
    """
    settings = parse(text, EdgeCore()).settings
    assert settings.modules.edged.hostnameOverride == "edge1"
    assert settings.modules.edged.tailoredKubeletConfig.cgroupDriver == "systemd"
    assert settings.modules.edged.tailoredKubeletConfig.maxPods == 110
    assert settings.modules.edgeHub.websocket.server == "10.0.0.1:10000"
    assert settings.modules.edgeHub.websocket.handshakeTimeout == 30
    assert not settings.modules.eventBus.enable
    assert settings.modules.metaManager.enable


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"modules": {"edged": {"hostnameOverride": "Edge_1"}}}, "modules.edged.hostnameOverride"),
        ({"modules": {"eventBus": {"mqttMode": 3}}}, "modules.eventBus.mqttMode"),
        ({"modules": {"edgeHub": {"quic": {"enable": True}}}}, "modules.edgeHub"),
        ({"modules": {"edgeHub": {"websocket": {"enable": False}}}}, "modules.edgeHub"),
        ({"modules": {"edgeHub": {"websocket": {"server": "cloud"}}}}, "modules.edgeHub.websocket.server"),
        ({"modules": {"edgeHub": {"messageQPS": -1}}}, "modules.edgeHub.messageQPS"),
        (
            {"modules": {"edged": {"tailoredKubeletConfig": {"syncFrequency": "soon"}}}},
            "modules.edged.tailoredKubeletConfig.syncFrequency",
        ),
        ({"edgelab": {"reconnectCap": "0s"}}, "edgelab.reconnectCap"),
    ],
)
def test_a_value_that_cannot_work_is_named_by_its_field(document: dict[str, Any], field: str) -> None:
    assert field in problems(yaml.safe_dump(document))


def test_a_value_of_the_wrong_type_is_named_by_its_field() -> None:
    with pytest.raises(ConfigError, match=r"modules\.edgeHub\.heartbeat"):
        parse("modules: {edgeHub: {heartbeat: often}}", EdgeCore())


def test_the_v1alpha1_file_of_the_tutorial_keeps_its_meaning_and_warns_key_by_key() -> None:
    text = (VECTORS / "edgecore-v1alpha1.yaml").read_text()
    loaded = parse(text, EdgeCore(), migrate=migrate)
    edged = loaded.settings.modules.edged
    assert validate(loaded.settings) == []
    assert loaded.unknown == []
    assert edged.hostnameOverride == "node35"
    assert edged.podSandboxImage == "kubeedge/pause:3.1"
    assert edged.tailoredKubeletConfig.cgroupDriver == "systemd"
    assert edged.tailoredKubeletConfig.clusterDNS == []
    assert edged.tailoredKubeletConfig.containerRuntimeEndpoint == "unix:///var/run/docker.sock"
    assert loaded.settings.edgelab.runtimeType == "docker"
    warned = {warning.field: warning.message for warning in loaded.outdated}
    for key in ("remoteRuntimeEndpoint", "gpuPluginEnabled"):
        assert warned[f"modules.edged.{key}"].startswith("removed: ")
    assert warned["modules.edged.runtimeType"] == "moved: now edgelab.runtimeType"
    assert "containerRuntimeEndpoint" in warned["modules.edged.dockerAddress"]
    assert "tailoredKubeletConfig.cgroupDriver" in warned["modules.edged.cgroupDriver"]
    assert "apiVersion" in warned


@pytest.mark.parametrize(
    ("edged", "kind", "endpoint"),
    [
        ("{runtimeType: docker}", "docker", "unix:///var/run/docker.sock"),
        ("{containerRuntime: docker, remoteRuntimeEndpoint: unix:///d.sock}", "docker", "unix:///d.sock"),
        ("{runtimeType: docker, dockerAddress: unix:///e.sock}", "docker", "unix:///e.sock"),
        ("{dockerAddress: unix:///e.sock}", "docker", "unix:///e.sock"),
        ("{runtimeType: remote, dockerAddress: unix:///e.sock}", "remote", CONTAINERD),
        ("{remoteRuntimeEndpoint: unix:///crio.sock}", "remote", "unix:///crio.sock"),
    ],
)
def test_who_asks_for_docker_gets_it(edged: str, kind: str, endpoint: str) -> None:
    loaded = parse(f"modules: {{edged: {edged}}}\n", EdgeCore(), migrate=migrate)
    assert loaded.unknown == []
    assert validate(loaded.settings) == []
    assert loaded.settings.edgelab.runtimeType == kind
    assert loaded.settings.modules.edged.tailoredKubeletConfig.containerRuntimeEndpoint == endpoint


def test_check_config_accepts_the_v1alpha1_file_and_refuses_a_misspelt_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = parser(PROGRAM)
    old = VECTORS / "edgecore-v1alpha1.yaml"
    assert handle(PROGRAM, flags.parse_args(["--check-config", str(old)])) == 0
    assert "warning: modules.edged.runtimeType" in capsys.readouterr().err
    wrong = tmp_path / "edgecore.yaml"
    wrong.write_text("modules: {edged: {hostnameOveride: edge1}}\n")
    assert handle(PROGRAM, flags.parse_args(["--check-config", str(wrong)])) == 1
    assert "modules.edged.hostnameOveride" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("200ms", 0.2),
        ("4h", 14400),
        ("0", 0),
        ("0s", 0),
        ("1.5s", 1.5),
        ("-2s", -2),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "1d", "abc", "1m5"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)
