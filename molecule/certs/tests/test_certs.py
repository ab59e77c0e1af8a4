"""Certificates and tokens of a cluster that runs: names, one use, rotation, removal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
CHECKOUT = Path(__file__).resolve().parents[3]
KEADM = "/opt/edgelab/current/bin/keadm"
WHERE = "--kube-config /etc/edgelab/admin.kubeconfig --output json"
INVENTORY = str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)


@pytest.fixture(scope="module")
def edge() -> Host:
    return testinfra.get_host("ansible://edge1", ansible_inventory=INVENTORY)


def keadm(host: Host, words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(host.run(f"{KEADM} {words} {WHERE}").stdout)
    return answer


def certificates(host: Host) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in keadm(host, "cert list")["certificates"]}


def playbook(name: str | Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", INVENTORY]
    return subprocess.run(
        [*command, str(CHECKOUT / "playbooks" / name), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # Ansible tells failures on either
        text=True,
        check=False,
        cwd=CHECKOUT,
        timeout=300,
    )


def serial(host: Host, command: str) -> str:
    return host.check_output(f"{command} | openssl x509 -noout -serial")


def shown(host: Host) -> str:
    """The serial number of the certificate that CloudCore shows to whoever dials it."""
    return serial(host, "openssl s_client -connect 127.0.0.1:10002 </dev/null 2>/dev/null")


def test_cloudcore_shows_a_certificate_for_every_address_of_the_inventory(host: Host) -> None:
    address = host.ansible.get_variables()["edgelab_node_ip"]
    cloudcore = certificates(host)["cloudcore"]
    assert {address, "203.0.113.7"} <= set(cloudcore["addresses"])
    assert {"cloud", "cloud.example.com"} <= set(cloudcore["dns_names"])
    text = host.check_output(
        "openssl s_client -connect 127.0.0.1:10002 </dev/null 2>/dev/null | openssl x509 -text"
    )
    assert "203.0.113.7" in text


def test_the_authority_is_the_one_that_was_given(host: Host, edge: Host) -> None:
    issuer = "openssl x509 -noout -issuer"
    connection = "openssl s_client -connect 127.0.0.1:10002 </dev/null 2>/dev/null"
    assert "Example Corp Root CA" in host.check_output(f"{connection} | {issuer}")
    assert "Example Corp Root CA" in edge.check_output(f"{issuer} -in /etc/kubeedge/certs/server.crt")


def test_the_node_joined_with_a_token_of_its_own_that_is_used_up(host: Host, edge: Host) -> None:
    [record] = keadm(host, "token list --node edge1")["tokens"]
    assert (record["node"], record["state"]) == ("edge1", "used")
    assert not edge.file("/etc/kubeedge/bootstrap-edgecore.conf").exists
    assert not edge.file("/etc/kubeedge/certs/server.key.enrol").exists


def test_a_join_line_is_refused_for_what_is_in_the_cluster(host: Host, edge: Host) -> None:
    assert "'edge1' is in the cluster and alive" in keadm(host, "join-command --node edge1")["error"]
    address = edge.ansible.get_variables()["edgelab_node_ip"]
    assert (
        f"address {address} belongs to node 'edge1'"
        in (keadm(host, f"join-command --node edge2 --node-ip {address}")["error"])
    )
    assert "keadm join --cloudcore-ipport" in keadm(host, "join-command --node edge2")["command"]


def test_certificates_are_rotated_and_the_node_comes_back(host: Host, edge: Host) -> None:
    own = "cat /etc/kubeedge/certs/server.crt"
    before = shown(host), serial(edge, own)
    spared = playbook("rotate_certs.yml", "-e", "edgelab_rotate_below_days=30", "--tags", "cloudcore,edge")
    assert spared.returncode == 0, spared.stdout
    assert (shown(host), serial(edge, own)) == before
    done = playbook("rotate_certs.yml")
    assert done.returncode == 0, done.stdout
    after = shown(host), serial(edge, own)
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert keadm(host, "node wait --name edge1 --max-lease-age 15 --timeout 60")["ready"] is True
    assert "of edge1 (system:node:edge1) is good for 36" in done.stdout


def test_a_node_is_removed_only_when_that_is_confirmed(host: Host, edge: Host) -> None:
    refused = playbook("remove_node.yml", "-e", "edgelab_node=edge1")
    assert refused.returncode != 0
    assert "edgelab_confirm_removal" in refused.stdout
    assert keadm(host, "node get --name edge1")["exists"] is True
    done = playbook("remove_node.yml", "-e", "edgelab_node=edge1", "-e", "edgelab_confirm_removal=edge1")
    assert done.returncode == 0, done.stdout
    assert keadm(host, "node get --name edge1")["exists"] is False
    assert not edge.service("edgecore").is_running
    assert not edge.file("/etc/kubeedge/certs/server.key").exists


def test_a_removed_node_joins_again_with_a_certificate_that_is_made_beforehand(
    host: Host, edge: Host
) -> None:
    done = playbook(Path(__file__).parents[1] / "preissued.yml")
    assert done.returncode == 0, done.stdout
    assert "PRIVATE KEY" not in done.stdout
    assert keadm(host, "node wait --name edge1 --max-lease-age 15 --timeout 60")["ready"] is True
    # The one of its first join: none was made for this.
    assert [token["state"] for token in keadm(host, "token list --node edge1")["tokens"]] == ["used"]
    key = edge.file("/etc/kubeedge/certs/server.key")
    assert (key.user, key.mode) == ("root", 0o600)
    assert "system:node:edge1" in edge.check_output(
        "openssl x509 -noout -subject -in /etc/kubeedge/certs/server.crt"
    )
    report = playbook("rotate_certs.yml", "--tags", "report", "-e", "certs_warn_days=400")
    assert "ends in 36" in report.stdout


def test_removing_a_node_whose_host_is_gone_says_so(host: Host) -> None:
    keadm(host, "node register --name edge9")
    words = ("-e", "edgelab_node=edge9", "-e", "edgelab_confirm_removal=edge9")
    done = playbook("remove_node.yml", *words)
    assert done.returncode == 0, done.stdout
    assert "Its host was not reached" in done.stdout
    assert keadm(host, "node get --name edge9")["exists"] is False
