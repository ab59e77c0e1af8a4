"""EdgeSite on a fresh host: the API answers the administrator and nobody else, and outlives a restart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
Kubectl = Callable[..., str]
Play = Callable[..., tuple[int, str]]
CHECKOUT = Path(__file__).resolve().parents[3]
CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
EDGESITE = "/opt/edgelab/current/bin/edgesite"
KEYS = "/etc/edgelab/encryption.yaml"
PASSWORD = "correct-horse-battery-staple"
CODE = "curl -sk -o /dev/null -w '%{http_code}'"
CERTIFICATE = "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -text"


def test_the_service_runs_now_and_after_a_reboot(host: Host) -> None:
    service = host.service("edgesite")
    assert service.is_running
    assert service.is_enabled
    assert service.systemd_properties["NRestarts"] == "0"


def test_its_state_and_the_kubeconfig_are_for_root_only(host: Host) -> None:
    state, kubeconfig = host.file("/var/lib/edgesite"), host.file("/etc/edgelab/admin.kubeconfig")
    assert (state.user, state.mode) == ("root", 0o700)
    assert (kubeconfig.user, kubeconfig.mode) == ("root", 0o600)


def test_the_api_refuses_who_has_no_certificate(host: Host) -> None:
    assert host.check_output(f"{CODE} https://127.0.0.1:6443/readyz") == "200"
    assert host.check_output(f"{CODE} https://127.0.0.1:6443/api/v1/secrets") in {"401", "403"}


def test_the_certificate_names_the_hosts_address(host: Host) -> None:
    address = host.ansible.get_variables()["edgelab_node_ip"]
    assert f"IP Address:{address}" in host.check_output(CERTIFICATE)


def test_what_was_stored_is_there_after_a_restart(host: Host, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "probe", "--from-literal=word=servus")
    try:
        host.check_output("systemctl restart edgesite")
        stored = json.loads(kubectl("get", "configmap", "probe", "-o", "json"))
    finally:
        kubectl("delete", "configmap", "probe")
    assert stored["data"] == {"word": "servus"}


def keys(host: Host) -> list[dict[str, str]]:
    """Names and secrets in the file of keys."""
    [rule] = yaml.safe_load(host.file(KEYS).content_string)["resources"]
    settings = [found for entry in rule["providers"] for found in entry.values()]
    return [key for found in settings for key in found.get("keys", [])]


def encrypted_by(host: Host) -> set[str]:
    """By what Secrets are encrypted in the database."""
    return set(json.loads(host.check_output(f"{EDGESITE} encryption status --output json"))["secrets"])


def invocation(host: Host) -> str:
    """A number that each start of the unit has for itself."""
    return str(host.service("edgesite").systemd_properties["InvocationID"])


def audited(host: Host, path: str, **wanted: str) -> list[dict[str, Any]]:
    """Events of an audit log whose object is this one."""
    events = [json.loads(line) for line in host.file(path).content_string.splitlines()]
    return [event for event in events if wanted.items() <= event.get("objectRef", {}).items()]


def test_secrets_are_encrypted_by_a_key_that_only_root_has(host: Host, kubectl: Kubectl) -> None:
    kubectl("create", "secret", "generic", "probe", f"--from-literal=password={PASSWORD}")
    file = host.file(KEYS)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    [key] = keys(host)
    assert encrypted_by(host) == {f"aesgcm with key '{key['name']}'"}
    encoded = host.check_output(f"printf %s {PASSWORD} | base64")
    assert host.run(f"cat /var/lib/edgesite/state.db* | grep -a -c {encoded}").stdout.strip() == "0"


def test_the_key_is_in_no_argument_no_environment_and_no_backup(host: Host) -> None:
    [key] = keys(host)
    secret = key["secret"].replace("+", "[+]")
    host.check_output(
        f"{EDGESITE} backup /root/s.tar.gz && mkdir -p /root/site && tar -xf /root/s.tar.gz -C /root/site"
    )
    host.check_output("journalctl --boot --output=cat > /root/site/journal")
    pid = host.service("edgesite").systemd_properties["MainPID"]
    where = f"/proc/{pid}/cmdline /proc/{pid}/environ /etc/default /etc/systemd/system /root/site"
    assert host.run(f"grep -r -a -l -e '{secret}' {where}").stdout == ""
    assert host.run(f"grep -a -c -e '{secret}' {KEYS}").stdout.strip() == "1", (
        "the test looks for the right thing"
    )


def test_the_key_is_changed_and_nothing_is_lost(host: Host, kubectl: Kubectl, play: Play) -> None:
    [old] = keys(host)
    status, words = play(
        CHECKOUT / "playbooks/rotate_encryption_key.yml", {"edgesite_encryption_provider": "aesgcm"}, "-vvv"
    )
    assert status == 0, words
    [new] = keys(host)
    assert new["name"] != old["name"]
    assert not [secret for secret in (old["secret"], new["secret"]) if secret in words]
    assert encrypted_by(host) == {f"aesgcm with key '{new['name']}'"}
    assert host.file(KEYS).mode == 0o600
    found = kubectl("get", "secret", "probe", "-o", "jsonpath={.data.password}")
    assert host.check_output(f"printf %s {found} | base64 -d") == PASSWORD


def test_a_host_does_not_lose_its_keys_by_a_variable_that_was_forgotten(host: Host, play: Play) -> None:
    before = invocation(host)
    status, words = play(CONVERGE, {"edgesite_encryption_provider": ""}, "--tags=edgesite_configure")
    assert status != 0
    assert "Secrets are encrypted by /etc/edgelab/encryption.yaml, and neither" in words
    assert invocation(host) == before


def test_keys_that_cannot_read_what_is_there_are_refused(host: Host, play: Play) -> None:
    [key], before = keys(host), invocation(host)
    entry = {
        "resources": ["secrets"],
        "providers": [{"aesgcm": {"keys": [{"name": "k", "secret": "a" * 43 + "="}]}}],
    }
    given = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [entry],
    }
    variables = {"edgesite_encryption_provider": "", "edgesite_encryption_config": given}
    status, words = play(CONVERGE, variables, "--tags=edgesite_configure")
    assert status != 0, words
    assert "a" * 43 not in words
    assert keys(host) == [key]
    assert invocation(host) == before


def test_who_did_what_is_written_down(host: Host, kubectl: Kubectl) -> None:
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "audited"},
        "data": {"word": "pssst"},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(made))
    kubectl("delete", "configmap", "audited")
    path = "/var/log/edgesite/audit.log"
    events = audited(host, path, resource="configmaps", name="audited")
    assert {"create", "delete"} <= {event["verb"] for event in events}
    assert {event["user"]["username"] for event in events} == {"system:admin"}
    assert "pssst" not in host.file(path).content_string
    assert audited(host, path, resource="leases") == []
    assert host.file(path).mode == 0o600
    assert host.file("/var/log/edgesite").mode == 0o700


def test_a_policy_that_is_wrong_is_refused_before_the_restart(host: Host, play: Play, tmp_path: Path) -> None:
    before, policy = invocation(host), tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]\n")
    status, words = play(CONVERGE, {"edgesite_audit_policy_file": str(policy)}, "--tags=edgesite_configure")
    assert status != 0
    assert "Everything" in words
    assert invocation(host) == before


def test_a_policy_and_a_place_of_your_own(host: Host, kubectl: Kubectl, play: Play, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
    variables = {
        "edgesite_audit_policy_file": str(policy),
        "edgesite_audit_log": "/srv/audit/edgesite.log",
        "edgesite_audit_log_maxsize": 1,
        "edgesite_audit_log_maxbackup": 1,
    }
    for changes in (True, False):
        before = invocation(host)
        status, words = play(CONVERGE, variables, "--tags=edgesite")
        assert status == 0, words
        assert (invocation(host) != before) is changes, "changed values restart it, once; others do not"
    for _ in range(3):
        kubectl("get", "leases", "-A")
    assert audited(host, "/srv/audit/edgesite.log", resource="leases")
    assert host.file("/srv/audit").mode == 0o700
    assert play(CONVERGE, {}, "--tags=edgesite")[0] == 0
    assert not host.file("/etc/systemd/system/edgesite.service.d/50-edgelab-audit.conf").exists
