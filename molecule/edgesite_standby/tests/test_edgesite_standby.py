"""The second box: what it may, what it has when the power of the first is cut under load, how long it takes
to answer, and that the first one does not serve beside it when it is back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
CHECKOUT = Path(__file__).resolve().parents[3]
INVENTORY = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
PLAYBOOKS = CHECKOUT / "playbooks"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
KEYS = "/etc/edgelab/encryption.yaml"
ENOUGH = 400
"""Writes before the power is cut."""
LONGEST_SECONDS = 10.0
"""From the decision, which is to run the playbook, to the first answered request."""
LONGEST_LAG_SECONDS = 1.0
"""What was acknowledged earlier than this before the cut is on the second box."""
Machine = Callable[[str], Host]
Eventually = Callable[..., Any]
Kubectl = Callable[..., str]


def address(host: Host) -> str:
    return str(host.ansible.get_variables()["edgelab_node_ip"])


def lab(*words: str) -> None:
    """The program that people drive a lab with."""
    done = subprocess.run(
        [str(CHECKOUT / "scripts" / "lab"), *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def play(playbook: str, inventory: Path, *words: str) -> str:
    """Run a playbook as people do; what it printed."""
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(inventory),
            str(PLAYBOOKS / playbook),
            *words,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=480,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")},
    )
    assert done.returncode == 0, done.stdout
    return " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def boxes(machine: Machine) -> dict[str, str]:
    """Addresses of the two."""
    return {name: address(machine(name)) for name in ("cloud", "standby1")}


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory after the second box took over: each in the group of the other."""
    program = str(Path(sys.executable).with_name("ansible-inventory"))
    found = subprocess.run(
        [program, "-i", str(INVENTORY), "--list"], capture_output=True, text=True, check=True
    )
    variables = json.loads(found.stdout)["_meta"]["hostvars"]
    groups = {"cloud": {"hosts": {"standby1": {}}}, "standby": {"hosts": {"cloud": {}}}}
    folder = tmp_path_factory.mktemp("exchanged")
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
    # In files of their own: in hosts.yml those of host cloud would be taken for those of group cloud.
    (folder / "host_vars").mkdir()
    for name, values in variables.items():
        (folder / "host_vars" / f"{name}.yml").write_text(yaml.safe_dump(values))
    return folder


def in_step(site: Any, serving: str) -> bool:
    """Whether somebody follows a box and has everything."""
    return site.metric(serving, "edgesite_follower_lag_revisions") == 0


def test_the_second_box_follows_now_and_after_a_reboot_and_serves_nothing(machine: Machine) -> None:
    standby = machine("standby1")
    assert standby.service("edgesite-follow").is_running
    assert standby.service("edgesite-follow").is_enabled
    assert not standby.service("edgesite").is_running
    assert not standby.service("edgesite").is_enabled


def test_it_has_access_to_the_log_and_to_nothing_else(
    machine: Machine, site: Any, boxes: dict[str, str]
) -> None:
    file = machine("standby1").file("/etc/edgelab/follow.kubeconfig")
    assert (file.user, file.mode) == ("root", 0o600)
    token = yaml.safe_load(file.content_string)["users"][0]["user"]["token"]
    assert site.get(boxes["cloud"], "/edgesite/v1/log", token)[0] == 410, "allowed, and asked to begin anew"
    for path in ("/api/v1/secrets", CONFIGMAPS, "/metrics", "/edgesite/v1/term"):
        assert site.get(boxes["cloud"], path, token)[0] == 403, path


def test_it_has_the_keys_of_secrets_for_root_only(machine: Machine) -> None:
    ours, theirs = machine("standby1").file(KEYS), machine("cloud").file(KEYS)
    assert ours.content_string == theirs.content_string
    assert (ours.user, ours.mode) == ("root", 0o600)


def test_it_answers_within_ten_seconds_of_a_power_cut_and_has_what_was_acknowledged(
    site: Any,
    boxes: dict[str, str],
    eventually: Eventually,
    kubectl: Kubectl,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kubectl("create", "secret", "generic", "kept", "--from-literal=word=servus")
    eventually(lambda: in_step(site, boxes["cloud"]), "the second box is in step", 30)
    with site.load(boxes["cloud"], "before") as writing:
        eventually(lambda: len(writing.acknowledged) > ENOUGH, "there is load", 60)
        lab("kill", "cloud")
    cut = max(writing.acknowledged.values())
    began = time.monotonic()
    with site.first_answer(boxes["standby1"]) as first:
        report = play("failover.yml", INVENTORY)
    assert first.at is not None
    assert "standby1 serves the site at" in report
    assert "cloud could not be stopped, as it did not answer" in report
    present = site.names(boxes["standby1"])
    lost = {name: at for name, at in writing.acknowledged.items() if name not in present}
    lag = max((cut - at for at in lost.values()), default=0.0)
    with capfd.disabled():
        print(
            f"\nfrom the decision to the first answer {first.at - began:.1f} s; {len(lost)} of"
            f" {len(writing.acknowledged)} writes were not handed on, all of the last {lag * 1000:.0f} ms"
        )
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert first.at - began < LONGEST_SECONDS, f"{load:.1f} processes wanted each processor meanwhile"
    assert lag < LONGEST_LAG_SECONDS
    assert len(lost) < len(writing.acknowledged) / 2


def test_it_serves_with_the_identity_and_the_keys_of_the_first(site: Any, boxes: dict[str, str]) -> None:
    status, body = site.get(boxes["standby1"], "/api/v1/namespaces/default/secrets/kept")
    assert status == 200
    assert json.loads(body)["data"] == {"word": "c2VydnVz"}
    assert site.get(boxes["standby1"], "/readyz")[0] == 200


def test_to_promote_it_again_changes_nothing() -> None:
    report = play("failover.yml", INVENTORY)
    assert "changed=1" not in report


def test_the_first_box_comes_back_and_does_not_serve_beside_it(
    machine: Machine, site: Any, boxes: dict[str, str], eventually: Eventually
) -> None:
    lab("start", "cloud")
    told = "journalctl --boot --unit edgesite --output=cat"
    refusal = "has been made the site in place of this one, which does not serve any more"
    eventually(lambda: refusal in machine("cloud").run(told).stdout, "it finds that it was replaced", 60)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        assert site.get(boxes["cloud"], CONFIGMAPS)[0] == 0
        time.sleep(0.2)
    assert site.get(boxes["standby1"], "/readyz")[0] == 200


def test_it_becomes_the_box_that_follows(
    machine: Machine, site: Any, boxes: dict[str, str], exchanged: Path, eventually: Eventually
) -> None:
    play("standby.yml", exchanged, "-e", "edgesite_demote=true", "-e", "edgesite_encryption_provider=aesgcm")
    eventually(lambda: in_step(site, boxes["standby1"]), "the first box is in step", 30)
    assert machine("cloud").file("/var/lib/edgesite/replaced/state.db").exists
    assert not machine("cloud").service("edgesite").is_enabled


def test_a_box_that_serves_is_not_made_to_follow_by_mistake(machine: Machine) -> None:
    with pytest.raises(AssertionError, match="standby1 serves a site, and a box that follows cannot"):
        play("standby.yml", INVENTORY, "-e", "edgesite_encryption_provider=aesgcm")
    assert machine("standby1").service("edgesite").is_running


def test_a_planned_change_loses_nothing(
    machine: Machine, site: Any, boxes: dict[str, str], exchanged: Path, eventually: Eventually
) -> None:
    with site.load(boxes["standby1"], "planned") as writing:
        eventually(lambda: len(writing.acknowledged) > ENOUGH, "there is load", 60)
        report = play("failover.yml", exchanged)
    assert "standby1 was stopped first: nothing that it had written is missing" in report
    assert writing.acknowledged.keys() <= site.names(boxes["cloud"])
    assert not machine("standby1").service("edgesite").is_enabled
