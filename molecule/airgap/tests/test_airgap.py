"""A cluster that was installed from a bundle on hosts whose network leads nowhere."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from testinfra.host import Host

CHECKOUT = Path(__file__).parents[3]
BUNDLE = CHECKOUT / ".cache" / "airgap-bundle"
DAEMONS = {"cloud": ("edgesite", "cloudcore"), "edge1": ("containerd", "mosquitto", "edgecore")}
PACKAGES = {"cloud": (), "edge1": ("containerd", "runc", "mosquitto", "containernetworking-plugins")}
REACH = "import socket; socket.create_connection(('{}', 53), 3)"


def name(host: Host) -> str:
    found: str = host.check_output("hostname")
    return found


@pytest.mark.parametrize("address", ["9.9.9.9", "1.1.1.1"])
def test_the_network_is_closed(host: Host, address: str) -> None:
    done = host.run(f'/usr/bin/python3 -c "{REACH.format(address)}"')
    assert done.rc != 0
    assert "TimeoutError" in done.stderr or "unreachable" in done.stderr, done.stderr


def test_packages_were_dropped_on_their_way_out_and_not_by_chance() -> None:
    tables = subprocess.run(["nft", "-j", "list", "ruleset"], capture_output=True, text=True, check=True)
    rules = [entry["rule"] for entry in json.loads(tables.stdout)["nftables"] if "rule" in entry]
    dropped = [rule for rule in rules if rule["chain"] == "closed" and rule["table"] == mark()]
    assert dropped
    counted = [part["counter"]["packets"] for rule in dropped for part in rule["expr"] if "counter" in part]
    assert sum(counted) > 0


def mark() -> str:
    code = "import sys, pathlib; from nspawn_lab.definition import Lab; "
    code += "print(Lab(pathlib.Path(sys.argv[1])).mark)"
    state = os.environ["EDGELAB_STATE_DIR"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "roles" / "lab_host" / "files")}
    done = subprocess.run(
        ["python3", "-c", code, state], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_apt_knows_the_bundle_and_nothing_else(host: Host) -> None:
    sources = host.check_output("apt-get indextargets --format '$(URI)'").splitlines()
    assert sources
    assert {source.partition("/./")[0] for source in sources} == {"file:/var/lib/edgelab/apt"}


def test_packages_are_those_of_the_bundle(host: Host) -> None:
    manifest = json.loads((BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    versions = manifest["repositories"][0]["packages"]
    for package in PACKAGES[name(host)]:
        assert host.package(package).version == versions[package]


def test_every_daemon_runs(host: Host) -> None:
    for daemon in DAEMONS[name(host)]:
        assert host.service(daemon).is_running, daemon
        assert host.service(daemon).is_enabled, daemon


def test_the_runtime_is_the_one_of_the_bundle(host: Host) -> None:
    manifest = json.loads((BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    assert host.file("/opt/edgelab/current").linked_to.endswith(manifest["runtime"])
