"""`keadm upgrade`, `backup`, `rollback`, `config-update` on a host whose versions are shell scripts."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from tests.keadm import node_store
from tests.keadm.api_server import ApiServer
from tests.keadm.conftest import Keadm
from tests.keadm.host import Host
from typer.testing import CliRunner

from edgelab.keadm.__main__ import app

CONFIG = "/etc/kubeedge/config/edgecore.yaml"
UNIT = "/etc/systemd/system/edgecore.service"
DATABASE = "/var/lib/kubeedge/edgecore.db"
BACKUP = "/etc/kubeedge/backup/v1"
REPORT = "/etc/kubeedge/upgrade_report.json"
UP = ("upgrade", "edge", "--toVersion", "v2")


class Health:
    """/healthz/syncloop of whichever EdgeCore runs."""

    def __init__(self) -> None:
        self.well = True
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if owner.well else 500)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])


@pytest.fixture
def health() -> Iterator[Health]:
    health = Health()
    thread = threading.Thread(target=health.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield health
    health.server.shutdown()
    health.server.server_close()
    thread.join()


def install(host: Host, version: str, *programs: str, check: str = "exit 0") -> None:
    venv = host.install(version, *programs)
    for program in programs:
        path = venv / "bin" / program
        path.write_text(f'#!/bin/sh\nif [ "$1" = --check-config ]; then {check}; fi\n')
        path.chmod(0o755)
    for program in programs:
        unit = venv / f"lib/python3.11/site-packages/edgelab/data/systemd/{program}.service"
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(f"[Unit]\nDescription={version}\n")


@pytest.fixture
def edge(host: Host, health: Health) -> Host:
    """A node that runs v1 and has v2 beside it."""
    install(host, "v2", "edgecore")
    install(host, "v1", "edgecore")
    host.path(CONFIG).parent.mkdir(parents=True)
    kubelet = {"tailoredKubeletConfig": {"readOnlyPort": health.port}}
    host.path(CONFIG).write_text(yaml.safe_dump({"modules": {"edged": kubelet}}))
    host.path(UNIT).parent.mkdir(parents=True)
    host.path(UNIT).write_text("[Unit]\nDescription=v1\n")
    node_store.write(host.path(DATABASE))
    host.units.running, host.units.at_boot = {"edgecore"}, {"edgecore"}
    return host


def current(host: Host) -> str:
    return host.path("/opt/edgelab/current").readlink().name


def test_an_upgrade_backs_up_switches_and_restarts(keadm: Keadm, edge: Host) -> None:
    status, answer = keadm(*UP)
    assert (status, answer["before"], answer["version"]) == (0, "v1", "v2"), answer
    assert str(edge.path("/opt/edgelab/current").readlink()) == "venvs/v2"
    assert edge.path("/opt/edgelab/previous").readlink().name == "v1"
    assert edge.path(UNIT).read_text() == "[Unit]\nDescription=v2\n"
    assert edge.units.calls == ["daemon-reload", "restart edgecore"]
    backup = edge.path(BACKUP)
    assert {entry.name for entry in backup.iterdir()} == {
        *("edgecore.yaml", "edgecore.service", "edgecore.db", "manifest.json"),
    }
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700
    with sqlite3.connect(backup / "edgecore.db") as copy:
        assert copy.execute("SELECT count(*) FROM meta WHERE type = 'pod'").fetchone() == (4,)
    copy.close()
    assert json.loads(edge.path(REPORT).read_text())["result"] == "success"
    assert not edge.path("/etc/kubeedge/idempotency_record").exists()


def test_a_second_upgrade_changes_nothing(keadm: Keadm, edge: Host) -> None:
    keadm(*UP)
    before, edge.units.calls = edge.files(), []
    status, answer = keadm(*UP)
    assert (status, answer["changed"]) == (0, False), answer
    assert (edge.files(), edge.units.calls) == (before, [])


def test_a_dry_run_tells_every_step_and_changes_nothing(edge: Host) -> None:
    before = edge.files()
    done = CliRunner().invoke(app, [*UP, "--dry-run"])
    assert (edge.files(), edge.units.calls, current(edge)) == (before, [], "v1")
    assert done.stdout.replace(str(edge.root), "").splitlines() == [
        "backup: into /etc/kubeedge/backup/v1 (dry run)",
        "version: /opt/edgelab/current becomes v2 (dry run)",
        f"unit: {UNIT} is written (dry run)",
        "boot: as it should be",
        "start: edgecore is restarted (dry run)",
        "ready: as it should be",
        "dry run: nothing was changed; edgecore is v2",
    ]


def test_a_version_that_does_not_work_is_taken_back(keadm: Keadm, edge: Host, health: Health) -> None:
    health.well = False
    edge.units.on["start edgecore"] = lambda: setattr(health, "well", True)
    before = edge.path(CONFIG).read_text()
    status, answer = keadm(*UP, "--timeout", "1")
    assert (status, answer["rolled_back"]) == (1, True)
    assert "v2 does not work and edgecore is v1 again" in answer["error"]
    assert "journalctl -u edgecore" in answer["error"]
    assert (current(edge), edge.path(UNIT).read_text()) == ("v1", "[Unit]\nDescription=v1\n")
    assert not edge.path("/opt/edgelab/previous").exists()
    assert edge.path(CONFIG).read_text() == before
    assert edge.units.calls[-3:] == ["stop edgecore", "daemon-reload", "start edgecore"]
    assert json.loads(edge.path(REPORT).read_text())["result"].startswith("rolled back: ready: after 1 s")


def test_a_configuration_that_the_new_version_refuses_changes_nothing(keadm: Keadm, edge: Host) -> None:
    install(edge, "v2", "edgecore", check="echo modules.x: unknown field >&2; exit 1")
    edge.path("/opt/edgelab/current").unlink()
    edge.path("/opt/edgelab/current").symlink_to("venvs/v1")
    before = edge.files()
    status, answer = keadm(*UP)
    assert status == 1
    assert "modules.x: unknown field" in answer["error"]
    assert (edge.files(), edge.units.calls) == (before, [])


def test_a_rollback_brings_the_version_before_and_its_configuration(keadm: Keadm, edge: Host) -> None:
    before = edge.path(CONFIG).read_text()
    keadm(*UP)
    edge.path(CONFIG).write_text(before + "edgecoreVersion: v2\n")
    with sqlite3.connect(edge.path(DATABASE)) as file:
        file.execute("INSERT INTO meta VALUES ('default/pod/late', 'pod', '{}')")
    file.close()
    status, answer = keadm("rollback", "edge")
    assert (status, answer["version"]) == (0, "v1"), answer
    assert (current(edge), edge.path(CONFIG).read_text()) == ("v1", before)
    assert edge.path(UNIT).read_text() == "[Unit]\nDescription=v1\n"
    with sqlite3.connect(edge.path(DATABASE)) as file:
        assert file.execute("SELECT count(*) FROM meta WHERE key = 'default/pod/late'").fetchone() == (1,)
    file.close()
    assert keadm("rollback", "edge", "--historical-version", "v1")[1]["changed"] is False


def test_a_database_whose_tables_are_new_is_restored(keadm: Keadm, edge: Host) -> None:
    keadm(*UP)
    with sqlite3.connect(edge.path(DATABASE)) as file:
        file.execute("ALTER TABLE meta ADD COLUMN more text")
    file.close()
    assert keadm("rollback", "edge")[0] == 0
    with sqlite3.connect(edge.path(DATABASE)) as file:
        assert len(file.execute("SELECT * FROM meta LIMIT 1").fetchone()) == 3
    file.close()


def test_a_backup_alone(keadm: Keadm, edge: Host) -> None:
    assert keadm("backup", "edge")[1]["backup"] == str(edge.path(BACKUP))
    assert (edge.path(BACKUP) / "edgecore.db").exists()


def test_a_damaged_database_is_no_backup(keadm: Keadm, edge: Host) -> None:
    edge.path(DATABASE).write_bytes(b"no database" * 1000)
    status, answer = keadm(*UP)
    assert (status, answer["step"]) == (1, "backup")
    assert DATABASE in answer["error"]
    assert current(edge) == "v1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("upgrade", "edge", "--toVersion", "v9"), "there is no version v9 with edgecore below"),
        (("upgrade", "edge", "--toVersion", "../v1"), "there is no version ../v1"),
        (("upgrade", "edge", "--image", "kubeedge/installation-package"), "no image is pulled"),
        (("rollback", "edge"), "there is no version before this one"),
        (("rollback", "edge", "--historical-version", "v2"), "there is no backup of v2"),
        (("upgrade", "cloud"), "there is no kubeconfig"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    keadm: Keadm, edge: Host, words: tuple[str, ...], told: str
) -> None:
    before = edge.files()
    more = ("--kube-config", "/none") if words[1] == "cloud" else ()
    status, answer = keadm(*words, *more)
    assert status == 1
    assert told.replace("there is no kubeconfig", "/none") in answer["error"]
    assert (edge.files(), edge.units.calls) == (before, [])


def test_two_upgrades_do_not_meet_and_a_dead_one_is_taken_over(keadm: Keadm, edge: Host) -> None:
    record = edge.path("/etc/kubeedge/idempotency_record")
    record.write_text(str(os.getppid()))
    assert "another keadm" in keadm(*UP)[1]["error"]
    record.write_text("999999999")
    assert keadm(*UP)[0] == 0


def test_without_a_version_it_is_that_of_keadm_itself(keadm: Keadm, edge: Host) -> None:
    status, answer = keadm("upgrade", "edge", "--dry-run")
    assert (status, answer["version"]) == (0, Path(sys.prefix).resolve().name)


def test_people_are_asked(edge: Host) -> None:
    done = CliRunner().invoke(app, list(UP), input="n\n")
    assert (done.exit_code, current(edge)) == (1, "v1")
    assert CliRunner().invoke(app, [*UP, "--force"]).exit_code == 0


def test_the_cloud_gets_the_crds_then_the_version(
    keadm: Keadm, host: Host, health: Health, server: ApiServer, kube_config: Path
) -> None:
    install(host, "v2", "cloudcore")
    install(host, "v1", "cloudcore")
    config = host.path("/etc/kubeedge/config/cloudcore.yaml")
    config.parent.mkdir(parents=True)
    config.write_text(f"commonConfig: {{monitorServer: {{bindAddress: '127.0.0.1:{health.port}'}}}}")
    host.units.running = {"cloudcore"}
    call = ("upgrade", "cloud", "--to-version", "v2", "--kube-config", kube_config)
    status, answer = keadm(*call, "--set", "cloudCore.modules.cloudHub.nodeLimit=9")
    assert (status, current(host)) == (0, "v2"), answer
    assert any("customresourcedefinitions" in path for path in server.objects)
    assert yaml.safe_load(config.read_text())["modules"]["cloudHub"]["nodeLimit"] == 9
    assert (host.path(BACKUP) / "cloudcore.yaml").exists()


def test_settings_change_and_come_back_when_edgecore_does_not_take_them(
    keadm: Keadm, edge: Host, health: Health
) -> None:
    call = ("config-update", "--set", "modules.edgeHub.heartbeat=33", "--timeout", "1")
    assert keadm(*call, "--dry-run")[1]["changed"] is True
    before = edge.path(CONFIG).read_text()
    health.well = False
    status, answer = keadm(*call)
    assert (status, "is as it was" in answer["error"]) == (1, True)
    assert edge.path(CONFIG).read_text() == before
    health.well = True
    edge.units.calls = []
    assert keadm(*call)[0] == 0
    assert yaml.safe_load(edge.path(CONFIG).read_text())["modules"]["edgeHub"]["heartbeat"] == 33
    assert edge.units.calls == ["restart edgecore"]
    assert keadm(*call)[1]["changed"] is False
    assert "did you mean" in keadm("config-update", "--set", "modules.edgeHub.hartbeat=3")[1]["error"]
