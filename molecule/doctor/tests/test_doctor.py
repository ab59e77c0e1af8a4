"""What the doctor said before anything was installed, and after host, containerd and cni."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
NEEDS_RUNTIME = ("EDGE-CONFIG", "EDGE-CERT", "EDGE-TOKEN", "EDGE-RUNTIME-READY", "EDGE-SANDBOX-IMAGE")
BEFORE_UNKNOWN = (*NEEDS_RUNTIME, "EDGE-CNI-CONFIG", "HOST-RUNTIME")
AFTER_OK = (
    "EDGE-RUNTIME-SOCKET",
    "EDGE-RUNTIME-CRI",
    "EDGE-CNI-CONFIG",
    "EDGE-CNI-PLUGINS",
    "EDGE-KERNEL",
    "HOST-UNIT",
)


def before(host: Host) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(host.file("/root/doctor-before.json").content_string)
    return found


def after(host: Host) -> set[tuple[str, str]]:
    return {
        (code, status) for code, status in json.loads(host.file("/root/doctor-after.json").content_string)
    }


@pytest.mark.parametrize("code", BEFORE_UNKNOWN)
def test_before_the_installation_what_is_missing_is_unknown(host: Host, code: str) -> None:
    [one] = [check for check in before(host) if check["code"] == code]
    assert one["status"] == "unknown"
    assert one["found"]


def test_before_the_installation_the_host_itself_is_examined(host: Host) -> None:
    found = {check["code"]: check["status"] for check in before(host)}
    assert {found[code] for code in ("HOST-PYTHON", "HOST-DISTRIBUTION", "HOST-MEMORY", "HOST-CLOCK")} == {
        "ok"
    }


def test_before_the_installation_the_container_runtime_is_missed(host: Host) -> None:
    found = {check["code"]: check["status"] for check in before(host)}
    assert found["EDGE-RUNTIME-SOCKET"] == "failed"


def test_every_fault_has_a_fix(host: Host) -> None:
    faults = [check for check in before(host) if check["status"] in ("failed", "warning")]
    assert [check for check in faults if not check["fix"]] == []


@pytest.mark.parametrize("code", AFTER_OK)
def test_after_the_container_runtime_was_installed_its_checks_are_ok(host: Host, code: str) -> None:
    assert {status for name, status in after(host) if name == code} == {"ok"}


@pytest.mark.parametrize("code", NEEDS_RUNTIME)
def test_what_takes_the_runtime_stays_unknown(host: Host, code: str) -> None:
    assert {status for name, status in after(host) if name == code} == {"unknown"}
