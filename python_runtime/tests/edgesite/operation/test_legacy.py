"""The files and commands of KubeEdge's old EdgeSite: taken over, or refused with what to do instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.edgesite.apiserver.running import running

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.__main__ import main
from edgelab.edgesite.operation.legacy import render, translate
from edgelab.settings.document import parse
from edgelab.settings.edgecore import EdgeCore, validate

DASHES = """
mqtt:
    server: tcp://127.0.0.1:1883 # external mqtt broker url.
    internal-server: tcp://127.0.0.1:1884
    mode: 2
    qos: 1
    retain: false
    session-queue-size: 100
controller:
  kube:
    master: http://localhost:8080
    namespace: ""
    content_type: "application/vnd.kubernetes.protobuf"
    qps: 5
    burst: 10
    node_update_frequency: 10
    kubeconfig: "/root/.kube/config"
    node-id: edge-node
    node-name: edge-node
edged:
    register-node-namespace: default
    hostname-override: edge-node
    interface-name: eth0
    edged-memory-capacity-bytes: 7852396000
    node-status-update-frequency: 10
    device-plugin-enabled: false
    image-gc-high-threshold: 80
    image-gc-low-threshold: 40
    maximum-dead-containers-per-container: 1
    docker-address: unix:///var/run/docker.sock
    remote-runtime-endpoint: unix:///var/run/dockershim.sock
    podsandbox-image: kubeedge/pause:3.1
    node-ip: ""
    cluster-dns: "10.0.0.10"
    nobody-knows: 1
metamanager:
    context-send-group: edgecontroller
    edgesite: true
modules:
    enabled: [edgecontroller, metaManager, edged, dbTest]
"""
V1ALPHA1 = """
apiVersion: edgesite.config.kubeedge.io/v1alpha1
kind: EdgeSite
database: {aliasName: default, dataSource: /var/lib/kubeedge/edgesite.db, driverName: sqlite3}
kubeAPIConfig: {burst: 200, kubeConfig: /root/.kube/config, master: ""}
modules:
  edgeController: {enable: true, nodeUpdateFrequency: 10}
  edged: {enable: true, hostnameOverride: box, interfaceName: eth0, nodeIP: 10.1.11.5, cgroupDriver: systemd,
          runtimeType: docker, clusterDNS: "", clusterDomain: ""}
  metaManager: {enable: true, contextSendGroup: edgecontroller}
"""
NODE = {
    "kind": "Node",
    "apiVersion": "v1",
    "metadata": {"name": "edge-node", "labels": {"name": "edge-node", "node-role.kubernetes.io/edge": ""}},
}


@pytest.mark.parametrize(("text", "name"), [(DASHES, "edge-node"), (V1ALPHA1, "box")])
def test_an_old_file_becomes_one_that_edgecore_starts_with(text: str, name: str) -> None:
    found = translate(text, "edgeSite.yaml")
    loaded = parse(json.dumps(found.edgecore), EdgeCore())
    assert loaded.unknown == []
    assert validate(loaded.settings) == []
    assert loaded.settings.modules.edged.hostnameOverride == name
    assert loaded.settings.modules.edgeHub.websocket.server == "127.0.0.1:10000"
    assert found.server[:2] == ("edgesite", "server")


def test_every_setting_that_has_gone_is_named_with_the_reason() -> None:
    found = translate(DASHES, "edgeSite.yaml")
    told = {problem.field: problem.message for problem in found.told}
    assert "EdgeSite is the API server itself" in told["controller"]
    assert "default route" in told["edged.interface-name"]
    assert "containerRuntimeEndpoint" in told["modules.edged.dockerAddress"]
    assert told["mqtt.server"] == "moved: now modules.eventBus.mqttServerExternal"
    assert told["modules.edged.nobodyKnows"] == "removed: EdgeCore has no such setting any more"
    kubelet = found.edgecore["modules"]["edged"]["tailoredKubeletConfig"]
    assert kubelet["imageGCHighThresholdPercent"] == 80
    assert kubelet["clusterDNS"] == ["10.0.0.10"]
    assert found.edgecore["modules"]["eventBus"]["mqttMode"] == 2
    old = translate(V1ALPHA1, "edgesite.yaml")
    assert {"database", "kubeAPIConfig", "modules.edgeController"} <= {problem.field for problem in old.told}
    assert "edgesite server" in render(old)


def test_what_is_no_old_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        Fatal, match=r"is a Node and no settings: `kubectl apply -f node\.json` works as it did"
    ):
        translate(json.dumps(NODE), "node.json")
    with pytest.raises(Fatal, match=r"x\.yaml is no edgeSite\.yaml"):
        translate("kind: Pod\napiVersion: v1\n", "x.yaml")
    for text, told in (
        ("loggerLevel: INFO\nwriters: [stdout]\n", "says how the old EdgeSite logs: .*journal"),
        ("edgehub: {}\nedged: {}\n", "is EdgeCore's file of KubeEdge up to 1.2: `edgecore --minconfig`"),
        (
            "apiVersion: edgecore.config.kubeedge.io/v1alpha1\nkind: EdgeCore\n",
            "is EdgeCore's file: `edgecore --config FILE`",
        ),
    ):
        with pytest.raises(Fatal, match=told):
            translate(text, "old.yaml")
    with pytest.raises(Fatal, match="line 2"):
        translate("{", "x.yaml")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--config", "conf/edgeSite.yaml"], "`edgesite migrate conf/edgeSite.yaml`"),
        (["--config=old.yaml"], "`edgesite migrate old.yaml`"),
        (["--minconfig"], "--minconfig: EdgeSite has no configuration file; run `edgesite server`"),
        (["--defaultconfig"], "run `edgesite server`"),
        (["agent", "--proxy-server-host=10.0.0.1"], "edgesite-server and edgesite-agent are a tunnel"),
        (["server", "--agent-port", "8091"], "this EdgeSite is such a cluster itself"),
    ],
)
def test_the_old_command_line_is_answered_with_the_new_one(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert told in capsys.readouterr().err


def test_the_old_program_started_beside_its_file_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/edgeSite.yaml").write_text(DASHES)
    monkeypatch.setenv("GOARCHAIUS_CONFIG_PATH", str(tmp_path))
    assert main([]) == 2
    assert f"`edgesite migrate {tmp_path}/conf/edgeSite.yaml`" in capsys.readouterr().err
    monkeypatch.delenv("GOARCHAIUS_CONFIG_PATH")
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "`edgesite migrate conf/edgeSite.yaml`" in capsys.readouterr().err
    monkeypatch.chdir("/")
    assert main([]) == 2
    assert "usage: edgesite" in capsys.readouterr().err


def test_the_list_of_modules_beside_it_is_told_of(tmp_path: Path) -> None:
    found = translate("modules:\n    enabled: [edgecontroller, metaManager, edged, dbTest]\n", "modules.yaml")
    assert "modules.enabled" in {problem.field for problem in found.told}


def test_the_command_prints_for_people_and_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "edgeSite.yaml").write_text(DASHES)
    assert main(["migrate", str(tmp_path / "edgeSite.yaml"), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["edgecore"]["kind"] == "EdgeCore"
    assert main(["migrate", str(tmp_path / "edgeSite.yaml")]) == 0
    text = capsys.readouterr().out
    assert parse(text, EdgeCore()).unknown == [], "the text is a file that can be used as it is"
    assert main(["migrate", str(tmp_path / "none")]) == 1


async def test_a_node_of_the_tutorials_is_made_by_hand_as_ever(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        status, node = await client.call("POST", "/api/v1/nodes", NODE)
        assert status == 201
        assert node["metadata"]["labels"]["node-role.kubernetes.io/edge"] == ""
