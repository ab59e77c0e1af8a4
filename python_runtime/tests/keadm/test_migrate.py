"""`keadm config migrate`: the tutorials' files become files of today, and every key is accounted for."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.keadm.conftest import Keadm
from typer.testing import CliRunner

from edgelab.keadm.__main__ import app
from edgelab.settings import cloudcore, edgecore
from edgelab.settings.commandline import checked

VECTORS = Path(__file__).parent / "vectors"
FIRST = [VECTORS / name for name in ("edge.yaml", "modules.yaml", "logging.yaml")]


def keys(document: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_the_three_files_of_the_first_releases_become_one_that_edgecore_takes(
    keadm: Keadm, tmp_path: Path
) -> None:
    status, answer = keadm("config", "migrate", *FIRST, "--to", tmp_path)
    assert (status, answer["changed"], answer["problems"]) == (0, True, []), answer
    settings = checked(edgecore.PROGRAM, tmp_path / "edgecore.yaml", strict=True).settings
    modules = settings.modules
    assert modules.edgeHub.websocket.server == "172.2.0.2:30000"
    assert modules.edgeHub.httpServer == "https://172.2.0.2:30002"
    assert (modules.edged.hostnameOverride, modules.edged.customInterfaceName) == ("edgenode", "enp0s8")
    assert (modules.eventBus.mqttMode, modules.serviceBus.enable) == (0, True)
    assert modules.edged.tailoredKubeletConfig.imageGCLowThresholdPercent == 40
    assert modules.edged.tailoredKubeletConfig.nodeStatusUpdateFrequency == "10s"


def test_of_every_key_it_is_told_what_became_of_it(keadm: Keadm) -> None:
    _, answer = keadm("config", "migrate", *FIRST)
    told = {(Path(note["file"]).name, note["key"]) for note in answer["notes"]}
    for path in (FIRST[0], FIRST[2]):
        for key in keys(yaml.safe_load(path.read_text())):
            assert (path.name, key) in told
    assert ("modules.yaml", "modules.enabled.edgemesh") in told
    assert all(note["now"] or note["reason"] for note in answer["notes"])
    gone = {note["key"]: note["reason"] for note in answer["notes"] if not note["now"]}
    assert "joins anew" in gone["edgehub.websocket.certfile"]
    assert "EdgeMesh" in gone["mesh.loadbalance.strategy-name"]
    assert "memory" in gone["edged.edged-memory-capacity-bytes"]


def test_modules_that_were_not_named_were_off_and_stay_off(keadm: Keadm, tmp_path: Path) -> None:
    modules = tmp_path / "modules.yaml"
    modules.write_text("modules: {enabled: [edged, websocket, metaManager, test]}")
    _, answer = keadm("config", "migrate", FIRST[0], modules)
    on = {name: one["enable"] for name, one in answer["documents"]["edgecore"]["modules"].items()}
    assert on == {
        **dict.fromkeys(("edged", "edgeHub", "metaManager"), True),
        **dict.fromkeys(("eventBus", "serviceBus", "deviceTwin", "dbTest"), False),
    }


def test_the_first_cloud_files_become_one_that_cloudcore_takes(keadm: Keadm, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "controller.yaml").write_text((VECTORS / "controller.yaml").read_text())
    (tmp_path / "conf" / "modules.yaml").write_text("modules: {enabled: [controller, cloudhub]}")
    (tmp_path / "conf" / "logging.yaml").write_text("loggerLevel: DEBUG")
    status, answer = keadm("config", "migrate", tmp_path / "conf", "--to", tmp_path)
    assert (status, answer["files"]) == (0, [str(tmp_path / "cloudcore.yaml")])
    settings = checked(cloudcore.PROGRAM, tmp_path / "cloudcore.yaml", strict=True).settings
    assert settings.kubeAPIConfig.kubeConfig == "/root/.kube/config"
    assert settings.modules.cloudHub.nodeLimit == 10
    assert settings.modules.cloudHub.tlsCertFile == "/etc/kubeedge/certs/edge.crt"
    assert not settings.modules.deviceController.enable
    reasons = {note["key"]: note["reason"] for note in answer["notes"]}
    assert "CLOUDCORE_ARGUMENTS='-v 4'" in reasons["loggerLevel"]
    assert "nodeLimit" in reasons["controller.kube.qps"]


@pytest.mark.parametrize("name", ["edgecore-v1alpha1", "cloudcore-v1alpha1"])
def test_what_is_printed_is_yaml_that_reads_back_without_a_warning(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["config", "migrate", str(VECTORS / f"{name}.yaml")])
    file = tmp_path / "new.yaml"
    file.write_text(done.stdout)
    program: Any = edgecore.PROGRAM if name.startswith("edge") else cloudcore.PROGRAM
    loaded = checked(program, file, strict=True)
    assert loaded.outdated == []


def test_our_own_settings_stay_unknown_keys_go_and_a_token_is_left_out(keadm: Keadm, tmp_path: Path) -> None:
    old = tmp_path / "edgecore.yaml"
    old.write_text(
        "kind: EdgeCore\nedgelab: {reconnectCap: 30s}\nmodules: {edgeHub: {token: a.b.c.d, hartbeat: 3}}\n"
    )
    _, answer = keadm("config", "migrate", old)
    document = answer["documents"]["edgecore"]
    assert document["edgelab"] == {"reconnectCap": "30s"}
    assert document["modules"] == {"edgeHub": {}}
    notes = {note["key"]: note["reason"] for note in answer["notes"]}
    assert "did you mean heartbeat" in notes["modules.edgeHub.hartbeat"]
    assert "keadm join" in notes["modules.edgeHub.token"]
    assert "a.b.c.d" not in str(answer)


def test_a_second_run_changes_nothing_a_dry_run_neither_and_the_old_file_is_kept(
    keadm: Keadm, tmp_path: Path
) -> None:
    old = VECTORS / "edgecore-v1alpha1.yaml"
    target = tmp_path / "edgecore.yaml"
    target.write_text(old.read_text())
    call = ("config", "migrate", target, "--to", tmp_path)
    assert keadm(*call, "--dry-run")[1]["changed"] is True
    assert target.read_text() == old.read_text()
    assert keadm(*call)[1]["changed"] is True
    assert (tmp_path / "edgecore.yaml.before-migration").read_text() == old.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert keadm(*call)[1]["changed"] is False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1", "is no file of KubeEdge's"),
        ("edged: {hostname-override: Not_A_Name}", "modules.edged.hostnameOverride"),
        ("edged: {cgroup-driver: docker}", "modules.edged.tailoredKubeletConfig.cgroupDriver"),
        ("edged: [", "line 2"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(
    keadm: Keadm, tmp_path: Path, text: str, told: str
) -> None:
    old = tmp_path / "edge.yaml"
    old.write_text(text + "\n")
    status, answer = keadm("config", "migrate", old, "--to", tmp_path / "new")
    assert status == 1
    assert told in answer["error"]
    assert not (tmp_path / "new").exists()
