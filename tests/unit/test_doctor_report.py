"""The report over all hosts: what only the controller sees, silent hosts, tables, and the docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.filter.doctor_report import (
    doctor_failures,
    doctor_node_names,
    doctor_report,
    doctor_table,
)
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_catalogue import CHECKS, KEADM, REPORT

from tests.unit.module_harness import CHECKOUT

REFERENCE = CHECKOUT / "docs" / "reference" / "doctor.md"
GOOD = {"code": "HOST-PYTHON", "status": "ok", "subject": "", "found": "Python 3.11.2", "fix": ""}
BAD = {
    "code": "HOST-DISK",
    "status": "failed",
    "subject": "/var",
    "found": "1 of 100 MiB free",
    "fix": "remove",
}
DARK = {"code": "EDGE-CERT", "status": "unknown", "subject": "", "found": "not installed", "fix": ""}


def answer(*checks: dict[str, str], version: str = "1.0.0") -> dict[str, Any]:
    return {"checks": list(checks), "version": version}


def controller(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    here = tmp_path / "a" / "ansible_collections" / "edgelab" / "kubeedge"
    (here / "plugins").mkdir(parents=True, exist_ok=True)
    known = {
        "hosts": ["cloud", "edge1"],
        "names": {"edge1": "edge1"},
        "problems": [],
        "ansible": "2.19.1",
        "ansible_minimum": "2.17",
        "collections": [str(tmp_path / "a")],
        "here": str(here),
        "only": [],
        "ignore": [],
    }
    return {**known, **changes}


def found(report: dict[str, Any], host: str, code: str) -> dict[str, str]:
    [one] = [check for check in report["hosts"][host] if check["code"] == code]
    return one


def test_a_healthy_cluster_has_a_report_without_faults(tmp_path: Path) -> None:
    report = doctor_report({"cloud": answer(GOOD), "edge1": answer(GOOD)}, controller(tmp_path))
    assert list(report["hosts"]) == ["localhost", "cloud", "edge1"]
    assert {check["code"] for check in report["hosts"]["localhost"]} == {
        check.code for check in CHECKS if check.source == REPORT
    }
    assert report["counts"] == {"failed": 0, "warning": 0, "unknown": 0, "ok": 8}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"unreachable": True, "msg": "Connection timed out"}, "Connection timed out"),
        ({"failed": True, "msg": "Missing sudo\n password=x"}, "Missing sudo"),
        ({}, "no answer"),
    ],
)
def test_a_host_that_did_not_answer_is_one_failed_check(
    tmp_path: Path, result: dict[str, Any], words: str
) -> None:
    report = doctor_report({"cloud": answer(GOOD), "edge1": result}, controller(tmp_path))
    [one] = report["hosts"]["edge1"]
    assert (one["code"], one["status"]) == ("HOST-UNREACHABLE", "failed")
    assert words in one["found"]
    assert "password=x" not in one["found"]
    assert "ansible edge1 -m ansible.builtin.ping" in one["fix"]
    assert report["counts"]["failed"] == 1
    assert found(report, "cloud", "HOST-PYTHON")["status"] == "ok"


@pytest.mark.parametrize(
    ("changes", "code", "words", "fix"),
    [
        ({"ansible": "2.16.3"}, "CONTROLLER-ANSIBLE", "2.16.3", "pip install"),
        ({"problems": ["group edge has no host"]}, "CONTROLLER-INVENTORY", "no host", "inventory"),
        ({"names": {"e1": "pi", "e2": "pi"}}, "CONTROLLER-NODE-NAMES", "of e1, e2", "edgecore_node"),
    ],
)
def test_what_the_controller_sees(
    tmp_path: Path, changes: dict[str, Any], code: str, words: str, fix: str
) -> None:
    results = {"cloud": answer(), "edge1": answer()}
    one = found(doctor_report(results, controller(tmp_path, **changes)), "localhost", code)
    assert one["status"] == "failed"
    assert words in one["found"]
    assert fix in one["fix"]


def test_another_copy_of_the_collection_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "b" / "ansible_collections" / "edgelab" / "kubeedge" / "plugins").mkdir(parents=True)
    known = controller(tmp_path, collections=[str(tmp_path / "a"), str(tmp_path / "b")])
    one = found(doctor_report({}, known), "localhost", "CONTROLLER-COLLECTION")
    assert (one["status"], str(tmp_path / "b") in one["found"]) == ("warning", True)


def test_versions_that_differ_are_a_warning(tmp_path: Path) -> None:
    results = {"cloud": answer(version="1.1.0"), "edge1": answer(version="1.0.0")}
    one = found(doctor_report(results, controller(tmp_path)), "localhost", "CONTROLLER-VERSIONS")
    assert (one["status"], "edge1 1.0.0" in one["found"]) == ("warning", True)


def test_only_and_ignore_count_for_the_controller(tmp_path: Path) -> None:
    results = {"cloud": answer(GOOD), "edge1": answer(GOOD)}
    report = doctor_report(results, controller(tmp_path, only=["CONTROLLER-ANSIBLE", "HOST-PYTHON"]))
    assert [one["code"] for one in report["hosts"]["localhost"]] == ["CONTROLLER-ANSIBLE"]
    report = doctor_report({}, controller(tmp_path, ignore=["HOST-UNREACHABLE"]))
    assert report["counts"]["failed"] == 0


def test_a_table_shows_what_is_wrong_first_and_no_colours() -> None:
    text = doctor_table([GOOD, DARK, {**DARK, "code": "EDGE-TOKEN"}, BAD], "edge1")
    assert text.splitlines() == [
        "edge1: 1 failed, 0 warning, 2 unknown, 1 ok",
        "failed   HOST-DISK  /var: 1 of 100 MiB free",
        "                    fix: remove",
        "unknown  not installed (EDGE-CERT, EDGE-TOKEN)",
    ]
    assert "HOST-PYTHON" in doctor_table([GOOD, BAD], "edge1", verbose=True)
    assert "\x1b" not in text


def test_long_findings_are_wrapped_below_themselves() -> None:
    text = doctor_table([{**BAD, "found": "word " * 60}], "edge1")
    assert all(len(line) <= 120 and line == line.rstrip() for line in text.splitlines())


def test_failures_are_one_line_each() -> None:
    report = {"hosts": {"edge1": [GOOD, BAD]}}
    assert doctor_failures(report) == ["edge1: HOST-DISK: /var: 1 of 100 MiB free"]


def test_node_names_are_the_inventory_s_or_the_hosts() -> None:
    hosts = {"Edge1": {}, "edge2": {"edgecore_node_name": "pi"}}
    assert doctor_node_names(hosts, ["Edge1", "edge2"]) == {"Edge1": "edge1", "edge2": "pi"}


def reference_table() -> str:
    """The table of docs/reference/doctor.md, made from the catalogue."""
    rows = ["| code | where | worst | looks at | usual fix |", "|---|---|---|---|---|"]
    rows += [
        f"| `{check.code}` | {', '.join(check.sides)} | {check.worst} | {check.looks} | {check.fix} |"
        for check in CHECKS
    ]
    return "\n".join(rows)


def test_the_reference_lists_every_check() -> None:
    """`PYTHONPATH=collections python -m tests.unit.test_doctor_report` writes the table anew."""
    assert reference_table() in REFERENCE.read_text(encoding="utf-8")


def test_keadm_s_codes_are_those_of_the_catalogue() -> None:
    sources = (CHECKOUT / "python_runtime" / "src" / "edgelab" / "keadm").glob("diagnose*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert [check.code for check in CHECKS if check.source == KEADM and not named(check.code, text)] == []


def named(code: str, text: str) -> bool:
    """Whether keadm's source names a code; the two of a configuration are put together there."""
    prefix, _, rest = code.partition("-")
    return json.dumps(code) in text or (
        rest.startswith("CONFIG") and f'{{prefix}}-{rest}"' in text and prefix in text
    )


if __name__ == "__main__":
    head, _, tail = REFERENCE.read_text(encoding="utf-8").partition("| code |")
    rest = tail.partition("\n\n")[2]
    REFERENCE.write_text(f"{head}{reference_table()}\n\n{rest}", encoding="utf-8")
