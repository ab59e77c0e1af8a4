"""edge_doctor as a module, on this machine: it reads, asks keadm, changes nothing and tells no secret."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.module_utils import doctor_gather_install as install
from ansible_collections.edgelab.kubeedge.plugins.module_utils import doctor_gather_network
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_catalogue import (
    BY_CODE,
    CHECKS,
    HOST,
    KEADM,
    codes,
)
from ansible_collections.edgelab.kubeedge.plugins.modules import edge_doctor

from tests.unit.module_harness import FakeKeadm, run

FINDING = {"code": "EDGE-CERT", "status": "failed", "subject": "", "found": "wrong", "fix": "join again"}
SETTINGS = {"cgroup_driver": "cgroupfs", "mqtt_mode": 2, "mqtt_external": "tcp://127.0.0.1:1"}


def doctor(tmp_path: Path, **options: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "sides": ["edge"],
        "keadm": str(tmp_path / "keadm"),
        "runtime_root": str(tmp_path / "opt"),
        "runtime_socket": str(tmp_path / "containerd.sock"),
        "cni_conf_dir": str(tmp_path / "net.d"),
        "paths": [str(tmp_path)],
    }
    return run(edge_doctor, **{**defaults, **options})


def test_every_code_is_there_once_and_says_what_it_looks_at() -> None:
    assert len(BY_CODE) == len(CHECKS) >= 25
    assert all(check.looks and check.fix and check.sides for check in CHECKS)
    assert {check.worst for check in CHECKS} <= {"failed", "warning"}


def test_a_host_without_the_runtime_is_examined(tmp_path: Path) -> None:
    result = doctor(tmp_path, controller_time=1.0, _ansible_check_mode=True)
    assert (result["failed"], result["changed"]) == (False, False)
    by_code = {one["code"]: one for one in result["checks"]}
    assert set(by_code) == set(codes("edge"))
    for code in codes("edge", KEADM):
        assert (by_code[code]["status"], by_code[code]["found"]) == (
            "unknown",
            "the runtime is not installed",
        )
    assert by_code["HOST-PYTHON"]["status"] == "ok"
    assert sum(result["counts"].values()) == len(result["checks"])


def test_keadm_makes_the_checks_that_take_the_runtime(tmp_path: Path) -> None:
    keadm = FakeKeadm(tmp_path)
    keadm.answer(default={"checks": [FINDING], "settings": SETTINGS})
    result = doctor(tmp_path, node_name="edge1")
    assert FINDING in result["checks"]
    assert keadm.calls[0][0] == ["diagnose", "node", "--node", "edge1", "--output", "json"]
    broker = next(one for one in result["checks"] if one["code"] == "EDGE-MQTT-BROKER")
    assert broker["status"] == "failed", "its settings came from keadm"


def test_the_cloud_is_asked_for_its_addresses_and_nodes(tmp_path: Path) -> None:
    keadm = FakeKeadm(tmp_path)
    keadm.answer(default={"checks": [], "settings": {}})
    doctor(tmp_path, sides=["cloud"], cloud_addresses=["10.0.0.1"], nodes=["edge1"], cluster=False)
    words = keadm.calls[0][0]
    assert words[:2] == ["diagnose", "cloud"]
    assert words[-7:-2] == ["--address", "10.0.0.1", "--node", "edge1", "--no-cluster"]


@pytest.mark.parametrize(
    ("stderr", "words"),
    [("Error: No such command 'diagnose'.", "older than the doctor"), ("boom", "status 2: boom")],
)
def test_a_keadm_that_cannot_answer_makes_its_checks_unknown(tmp_path: Path, stderr: str, words: str) -> None:
    keadm = tmp_path / "keadm"
    keadm.write_text(f'#!/bin/sh\necho "{stderr}" >&2\nexit 2\n')
    keadm.chmod(0o755)
    by_code = {one["code"]: one for one in doctor(tmp_path)["checks"]}
    assert by_code["EDGE-CERT"]["status"] == "unknown"
    assert words in by_code["EDGE-CERT"]["found"]


def test_only_and_ignore_choose_checks(tmp_path: Path) -> None:
    only = doctor(tmp_path, only=["HOST-PYTHON", "HOST-DISK"], ignore=["HOST-DISK"])
    assert [one["code"] for one in only["checks"]] == ["HOST-PYTHON"]
    assert "HOST-PYTHON" not in {one["code"] for one in doctor(tmp_path, ignore=["HOST-PYTHON"])["checks"]}


def test_a_code_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    result = doctor(tmp_path, ignore=["HOST-PYTON"])
    assert result["failed"]
    assert "there is no check HOST-PYTON" in result["msg"]


def test_the_answer_holds_no_secret(tmp_path: Path) -> None:
    keadm = FakeKeadm(tmp_path)
    token = "ab" * 32 + ".eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln"
    keadm.answer(default={"checks": [{**FINDING, "found": f"bad token {token}"}], "settings": {}})
    assert token not in json.dumps(doctor(tmp_path))


def test_all_checks_of_the_host_end_quickly(tmp_path: Path) -> None:
    before = os.times()
    result = doctor(tmp_path, sides=["cloud", "edge"])
    assert {one["code"] for one in result["checks"]} >= set(codes("cloud", HOST)) - {
        "CLOUD-TIMESERIES",
        "CLOUD-TWIN-LAG",
        "CLOUD-CONSOLE",
        "HOST-CLOCK",
    }
    assert os.times().elapsed - before.elapsed < 5


def database(path: Path, *, rows: int = 2000) -> Path:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE meta (key text PRIMARY KEY, value text)")
        file.executemany("INSERT INTO meta VALUES (?, ?)", ((f"k{n}", "v" * 50) for n in range(rows)))
    file.close()
    return path


def test_a_sound_database_is_left_as_it_was(tmp_path: Path) -> None:
    path = database(tmp_path / "edgecore.db")
    assert install.databases([str(path)]) == [{"path": str(path), "problem": ""}]
    assert [entry.name for entry in tmp_path.iterdir()] == ["edgecore.db"]


def test_a_damaged_database_is_found(tmp_path: Path) -> None:
    path = database(tmp_path / "edgecore.db")
    data = bytearray(path.read_bytes())
    data[8192:40960] = b"\xff" * 32768
    path.write_bytes(data)
    [found] = install.databases([str(path)])
    assert found["problem"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {"file": "", "missing": []}),
        ({"10-a.conflist": "{"}, {"file": "10-a.conflist", "network": ""}),
        (
            {"20-b.conf": '{"name": "b", "type": "bridge", "bridge": "br0", "ipam": {"type": "host-local"}}'},
            {"file": "20-b.conf", "network": "b", "missing": ["host-local"], "bridges": ["br0"]},
        ),
    ],
)
def test_cni_is_read_as_the_runtime_reads_it(
    tmp_path: Path, files: dict[str, str], expected: dict[str, Any]
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bridge").touch(mode=0o755)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = install.cni(str(tmp_path), [str(programs)])
    assert {key: found[key] for key in expected} == expected
    assert bool(found["problem"]) is ("{" in files.values())


def test_listeners_of_mosquitto_are_read(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "mosquitto.conf").write_text("# listener 9\nlistener 1883\n")
    (tmp_path / "conf.d" / "a.conf").write_text("allow_anonymous true\nacl_file /x\n")
    assert install.mosquitto(str(tmp_path)) == {
        "configured": True,
        "listeners": [1883],
        "anonymous": True,
        "acl": True,
    }


def test_units_of_mappers_are_found_by_their_names(tmp_path: Path) -> None:
    for name in ("edgelab-mapper-b.service", "edgelab-mapper-a.service", "edgelab-cpu-temperature.service"):
        (tmp_path / name).touch()
    (tmp_path / "edgelab-console.service").touch()
    assert install.mappers(str(tmp_path)) == [
        *("edgelab-cpu-temperature.service", "edgelab-mapper-a.service", "edgelab-mapper-b.service")
    ]
    assert install.mappers(str(tmp_path / "none")) == []


def test_console_and_exporter_are_asked_at_the_ports_of_the_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(url: str) -> dict[str, Any]:
        asked.append(url)
        return {"status": 200, "text": "ok"}

    monkeypatch.setattr(doctor_gather_network, "answer_of", answer)
    doctor(tmp_path, sides=["cloud"], console_port=8443, exporter_port=9999)
    assert {"http://127.0.0.1:8443/healthz", "http://127.0.0.1:9999/metrics"} <= set(asked)
    asked.clear()
    doctor(tmp_path, sides=["cloud"])
    assert {"http://127.0.0.1:9190/healthz", "http://127.0.0.1:9186/healthz"} <= set(asked)
