"""The archive on the host, and the cloud after it was damaged and restored from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
CHECKOUT = Path(__file__).resolve().parents[3]
KEADM = "/opt/edgelab/current/bin/keadm"
KUBECONFIG = "--kube-config /etc/edgelab/admin.kubeconfig --output json"


def archive(host: Host) -> str:
    """The one archive that the converge made."""
    [path] = host.check_output("find /var/backups/edgelab -name '*.tar.gz'").splitlines()
    return path


def test_the_archive_is_for_root_only(host: Host) -> None:
    assert host.file(archive(host)).mode == 0o600
    assert host.file("/var/backups/edgelab").mode == 0o700


def test_the_archive_holds_database_keys_and_secrets(host: Host) -> None:
    manifest = json.loads(host.check_output(f"tar -xzOf {archive(host)} manifest.json"))
    assert manifest["node"] == "cloud"
    assert manifest["version"] == host.check_output("basename $(readlink /opt/edgelab/current)")
    components = manifest["components"]
    paths = {entry["path"] for entry in components["edgesite"]["entries"]}
    assert "/var/lib/edgelab/edgesite-backup/site.tar.gz" in paths
    assert components["cloudcore"]["objects"][0]["count"] >= 3


def test_what_came_after_the_backup_is_gone(host: Host) -> None:
    namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: after-the-backup}}"
    answer = host.run(f"echo '{namespace}' | {KEADM} apply --check -f - {KUBECONFIG}")
    assert json.loads(answer.stdout)["objects"][0]["action"] == "created"


def test_nodes_can_join_again(host: Host) -> None:
    token = host.check_output(f"{KEADM} gettoken --kube-config /etc/edgelab/admin.kubeconfig")
    assert token.count(".") == 3


def test_the_daemons_run_with_the_configuration_they_had(host: Host) -> None:
    assert host.service("edgesite").is_running
    assert host.service("cloudcore").is_running
    assert host.file("/etc/kubeedge/config/cloudcore.yaml").mode == 0o600


def test_the_restored_database_is_sound(host: Host) -> None:
    database = "sqlite3.connect('/var/lib/edgesite/state.db')"
    script = f"import sqlite3; print({database}.execute('PRAGMA quick_check').fetchone()[0])"
    assert host.check_output(f'python3 -c "{script}"') == "ok"


def test_no_key_of_secrets_is_in_the_archive(host: Host) -> None:
    key = host.check_output("sed -n 's/.*secret: //p' /etc/edgelab/encryption.yaml").replace("+", "[+]")
    assert key
    manifest = json.loads(host.check_output(f"tar -xzOf {archive(host)} manifest.json"))
    entries = [entry for component in manifest["components"].values() for entry in component["entries"]]
    assert "/etc/edgelab/encryption.yaml" not in {entry["path"] for entry in entries}
    [site] = [entry["member"] for entry in entries if entry["path"].endswith("/site.tar.gz")]
    unpack = "mkdir -p /root/unpacked && tar -C /root/unpacked -xf"
    host.check_output(f"{unpack} {archive(host)} && {unpack} /root/unpacked/{site}")
    assert host.file("/root/unpacked/state.db").exists
    assert host.run(f"grep -r -a -l -e '{key}' /root/unpacked").stdout == ""


def test_a_version_that_has_no_backup_is_named_with_the_way(
    host: Host, play: Callable[..., tuple[int, str]]
) -> None:
    host.check_output("printf '#!/bin/sh\\nexit 2\\n' > /root/old && chmod 755 /root/old")
    status, words = play(CHECKOUT / "playbooks/backup.yml", {"_edgesite_program": "/root/old"})
    assert status != 0
    assert "the installed edgesite has no command backup" in words
    assert "tar -C /var/lib -czf /var/backups/edgesite.tar.gz edgesite" in words
    assert host.service("edgesite").is_running
    assert archive(host), "and no other archive was begun"
