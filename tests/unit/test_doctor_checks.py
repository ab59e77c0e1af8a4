"""Every check that the module makes itself: healthy facts, each fault with its fix, and what is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.module_utils import doctor_examine  # noqa: F401 - registers
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_catalogue import CHECKS, HOST
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import (
    JUDGES,
    STATUSES,
    Facts,
    Unknown,
    examine,
    redacted,
)

from tests.unit.doctor_facts import DISK, GIB, HEALTHY, UNIT, WANTED, spoiled

OWN = [check.code for check in CHECKS if check.source == HOST]
NO_RULE = ["-P INPUT DROP", "-A INPUT -p tcp --dport 22 -j ACCEPT"]
FILTERS = Path(__file__).parent / "data" / "firewalls"
UFW = {
    **HEALTHY["firewall"],
    "front_ends": ["ufw"],
    "iptables": (FILTERS / "ufw.txt").read_text().splitlines(),
}
FIREWALLD = {
    **HEALTHY["firewall"],
    "front_ends": ["firewalld"],
    "nft": json.loads((FILTERS / "firewalld.json").read_text())["nftables"],
}
CHAIN = {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input"}
NFT = [{"chain": {**CHAIN, "policy": "drop"}}]
THIEF = {"port": 10000, "address": "0.0.0.0", "process": "nc", "pid": 9}
OPEN = {"port": 1883, "address": "0.0.0.0", "process": "mosquitto", "pid": 5}
LOOP = {**UNIT, "state": "activating", "sub": "auto-restart", "restarts": 9, "journal": "boom"}

# code, what to spoil, the value, the status, words of what was found, words of the fix
FAULTS: list[tuple[str, str, Any, str, str, str]] = [
    ("HOST-PYTHON", "system/python", [3, 9, 2], "failed", "Python 3.9.2", "Debian 12"),
    ("HOST-DISTRIBUTION", "system/family", ["fedora", "rhel"], "failed", "not supported", "Debian"),
    ("HOST-DISTRIBUTION", "system/systemd", False, "failed", "systemd is not", "boot"),
    ("HOST-NAME", "system/hostname", "edge_1", "failed", "'edge_1' is no DNS label", "hostnamectl"),
    ("HOST-MEMORY", "memory/available", 10 << 20, "failed", "10 of 2048 MiB", "ps --sort"),
    ("HOST-MEMORY", "memory/available", 100 << 20, "warning", "100 of 2048 MiB", "larger board"),
    ("HOST-SWAP", "memory/swap_free", 0, "warning", "0 of 1024 MiB swap free", "short of memory"),
    ("HOST-SWAP", "system/kubelet", True, "failed", "kubelet", "host_swap"),
    (
        "HOST-DISK",
        "disks/0",
        {**DISK, "free": 1 << 20},
        "failed",
        "1 of 10240 MiB",
        "ctr -n k8s.io images prune",
    ),
    ("HOST-DISK", "disks/0", {**DISK, "free": GIB // 2}, "warning", "512 of", "journalctl --vacuum"),
    ("HOST-INODES", "disks/0", {**DISK, "inodes_free": 3}, "failed", "3 of 1000", "du --inodes"),
    ("HOST-READ-ONLY", "disks/0", {**DISK, "read_only": True}, "failed", "read-only", "remount"),
    ("HOST-CLOCK", "clock/now", 4600.0, "failed", "+3600 s", "timedatectl set-ntp true"),
    ("HOST-CLOCK", "clock/now", 960.0, "warning", "-40 s", "timedatectl"),
    ("HOST-TIME-SYNC", "clock/keepers", [], "warning", "nothing keeps", "host_time_sync"),
    ("HOST-NAMES", "names", {"cloud": ["10.9.9.9"]}, "failed", "10.9.9.9, expected 10.0.0.10", "/etc/hosts"),
    ("HOST-NAMES", "names", {"cloud": []}, "failed", "leads to nothing", "/etc/hosts"),
    ("HOST-ADDRESS", "own_address/owned", False, "failed", "10.0.0.11 is on no interface", "edgelab_node_ip"),
    ("HOST-ROUTES", "routes", [{"interface": i, "metric": 0} for i in "ab"], "warning", "several", "metric"),
    ("HOST-FIREWALL", "firewall", UFW, "failed", "ufw refuses", "ufw allow 10000/tcp"),
    ("HOST-FIREWALL", "firewall", FIREWALLD, "failed", "firewalld refuses", "--add-port=10000/tcp"),
    ("HOST-FIREWALL", "firewall/iptables", NO_RULE, "failed", "chain INPUT", "iptables -I INPUT"),
    (
        "HOST-FIREWALL",
        "firewall/nft",
        NFT,
        "failed",
        "chain inet filter input",
        "nft insert rule inet filter",
    ),
    ("HOST-FIREWALL", "firewall", {**FIREWALLD, "nft": None}, "warning", "is active", "firewall-cmd"),
    ("HOST-PORT-TAKEN", "listeners/1", THIEF, "failed", "held by nc (process 9)", "cloudcore needs it"),
    ("HOST-UNIT", "units/edgecore.service", LOOP, "failed", "(9 times): boom", "journalctl -u edgecore"),
    (
        "HOST-UNIT",
        "units/edgelab-mapper-pumps.service",
        LOOP,
        "failed",
        "(9 times): boom",
        "playbooks/mappers.yml",
    ),
    (
        "HOST-UNIT",
        "units/edgecore.service/state",
        "failed",
        "failed",
        "failed (success)",
        "systemctl restart",
    ),
    ("HOST-UNIT", "units/edgecore.service/state", "inactive", "failed", "does not run", "systemctl start"),
    (
        "HOST-UNIT",
        "units/edgecore.service",
        {**UNIT, "restarts": 5, "up": 9},
        "warning",
        "5 restarts",
        "journalctl",
    ),
    (
        "HOST-RUNTIME",
        "runtime/version",
        None,
        "failed",
        "current is missing; installed are 1.0.0+a",
        "python_runtime",
    ),
    ("HOST-RUNTIME", "runtime/complete", False, "failed", "not installed to its end", "python_runtime"),
    ("HOST-RUNTIME", "runtime/missing", ["edgecore"], "failed", "lacks edgecore", "python_runtime"),
    ("HOST-SECRET-MODE", "secrets/0/mode", 0o644, "failed", "mode 0644", "chmod 600 /etc/kubeedge/certs"),
    ("HOST-SECRET-MODE", "secrets/0/owner", 1000, "failed", "owner 1000", "chown root"),
    ("HOST-DATABASE", "databases/0/problem", "disk image is malformed", "failed", "damaged", "move /var/lib"),
    ("EDGE-CGROUP-MEMORY", "cgroup/memory", False, "failed", "memory cgroup is off", "cgroup_enable=memory"),
    (
        "EDGE-CGROUP-DRIVER",
        "settings/cgroup_driver",
        "cgroupfs",
        "failed",
        "EdgeCore cgroupfs",
        "containerd_cgroup",
    ),
    ("EDGE-CGROUP-DRIVER", "cgroup/driver", "cgroupfs", "warning", "host cgroupfs", "auto"),
    ("EDGE-KERNEL", "kernel/ip_forward", "0", "failed", "not forwarded", "sysctl -w net.ipv4.ip_forward=1"),
    ("EDGE-KERNEL", "kernel/overlay", False, "failed", "no overlay", "modprobe overlay"),
    ("EDGE-KERNEL", "kernel/bridge_netfilter", None, "warning", "not loaded", "modprobe br_netfilter"),
    (
        "EDGE-RUNTIME-SOCKET",
        "containers/answers",
        False,
        "failed",
        "nobody answers",
        "systemctl restart containerd",
    ),
    ("EDGE-RUNTIME-CRI", "containers/disabled", ["cri"], "failed", "disables cri", "disabled_plugins"),
    ("EDGE-CNI-CONFIG", "cni/file", "", "failed", "no CNI configuration", "--tags cni"),
    ("EDGE-CNI-CONFIG", "cni/problem", "ValueError: x", "failed", "cannot be read", "--tags cni"),
    ("EDGE-CNI-PLUGINS", "cni/missing", ["portmap"], "failed", "portmap", "apt install containernetworking"),
    (
        "EDGE-FORWARD-DROP",
        "firewall/iptables",
        ["-P FORWARD DROP"],
        "failed",
        "drops by default",
        "iptables -I FORWARD -i edgelab0",
    ),
    (
        "EDGE-MQTT-BROKER",
        "listeners",
        [],
        "failed",
        "no broker listens on port 1883",
        "systemctl restart mosquitto",
    ),
    (
        "EDGE-MQTT-CLASH",
        "settings",
        {"mqtt_mode": 0, "mqtt_internal": "tcp://127.0.0.1:1883"},
        "failed",
        "mosquitto both want",
        "mqttMode: 2",
    ),
    ("EDGE-MQTT-OPEN", "listeners", [OPEN], "failed", "without passwords", "mosquitto_listen: 127.0.0.1"),
    (
        "EDGE-MQTT-OPEN",
        "listeners",
        [{**OPEN, "port": 1884, "process": "edgecore"}],
        "failed",
        "without an ACL",
        "edgecore_mqtt_rules",
    ),
    (
        "EDGE-CLOUD-NAME",
        "cloud",
        {"address": "c", "resolved": [], "why": "no"},
        "failed",
        "c does not resolve",
        "edgelab_cloud_address",
    ),
    (
        "EDGE-CLOUD-PORTS",
        "cloud/ports",
        {"10000": "refused"},
        "failed",
        "refused",
        "systemctl status cloudcore",
    ),
    (
        "EDGE-CLOUD-CA",
        "cloud/tls",
        {"error": "self-signed", "code": 19},
        "failed",
        "self-signed",
        "joins anew",
    ),
    (
        "EDGE-CLOUD-VALIDITY",
        "cloud/tls",
        {"error": "expired", "code": 10},
        "failed",
        "expired",
        "cloudcoresecret",
    ),
    ("EDGE-CLOUD-VALIDITY", "cloud/tls/expires", 1000.0 + 86400, "warning", "in 1 days", "restart CloudCore"),
    (
        "EDGE-CLOUD-SAN",
        "cloud/tls/names",
        ["10.0.0.99"],
        "failed",
        "for 10.0.0.99, not for 10.0.0.10",
        "cloudcore_advertise",
    ),
    (
        "CLOUD-HEALTH",
        "answers/cloudcore",
        {"status": 503, "text": "api: down\n"},
        "failed",
        "api: down",
        "journalctl",
    ),
    (
        "CLOUD-TIMESERIES",
        "answers/timeseries",
        {"status": 0, "text": "refused"},
        "failed",
        "refused",
        "systemctl",
    ),
    ("CLOUD-TWIN-LAG", "answers/exporter", {"status": 503, "text": "late"}, "failed", "late", "journalctl"),
    (
        "CLOUD-TWIN-LAG",
        "answers/exporter_metrics/text",
        "edgelab_twinexporter_waiting_lines 5000\nedgelab_twinexporter_dropped_total 0",
        "failed",
        "5000 samples",
        "victoria-metrics",
    ),
    (
        "CLOUD-CONSOLE",
        "answers/console",
        {"status": 503, "text": "pods cannot be read\nnodes cannot be read\n"},
        "failed",
        "pods cannot be read, nodes cannot be read",
        "journalctl",
    ),
]

# code, section that is missing
NOT_KNOWN = {
    "HOST-PYTHON": "system", "HOST-DISTRIBUTION": "system", "HOST-NAME": "system", "HOST-MEMORY": "memory",
    "HOST-SWAP": "memory", "HOST-DISK": "disks", "HOST-INODES": "disks", "HOST-READ-ONLY": "disks",
    "HOST-CLOCK": "clock", "HOST-TIME-SYNC": "clock", "HOST-NAMES": "names", "HOST-ADDRESS": "own_address",
    "HOST-ROUTES": "routes", "HOST-FIREWALL": "firewall", "HOST-PORT-TAKEN": "listeners",
    "HOST-UNIT": "units",
    "HOST-RUNTIME": "runtime", "HOST-SECRET-MODE": "secrets", "HOST-DATABASE": "databases",
    "EDGE-CGROUP-MEMORY": "cgroup", "EDGE-CGROUP-DRIVER": "settings", "EDGE-KERNEL": "kernel",
    "EDGE-RUNTIME-SOCKET": "containers", "EDGE-RUNTIME-CRI": "containers", "EDGE-CNI-CONFIG": "cni",
    "EDGE-CNI-PLUGINS": "cni", "EDGE-FORWARD-DROP": "firewall", "EDGE-MQTT-BROKER": "settings",
    "EDGE-MQTT-CLASH": "settings", "EDGE-MQTT-OPEN": "listeners", "EDGE-CLOUD-NAME": "cloud",
    "EDGE-CLOUD-PORTS": "cloud", "EDGE-CLOUD-CA": "cloud", "EDGE-CLOUD-VALIDITY": "cloud",
    "EDGE-CLOUD-SAN": "cloud", "CLOUD-HEALTH": "answers", "CLOUD-TIMESERIES": "answers",
    "CLOUD-TWIN-LAG": "answers", "CLOUD-CONSOLE": "answers",
}  # fmt: skip


def findings(code: str, facts: dict[str, Any], **more: Any) -> list[dict[str, str]]:
    """What a check finds."""
    found: list[dict[str, str]] = examine(code, Facts(facts), {**WANTED, **more})
    return found


@pytest.mark.parametrize("code", OWN)
def test_healthy_hosts_are_ok(code: str) -> None:
    found = findings(code, HEALTHY)
    assert found, "a check of a host that has everything says something"
    assert {(one["status"], one["fix"]) for one in found} == {("ok", "")}, found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0]}-{fault[4]}")
def test_each_fault_is_found_with_its_fix(fault: tuple[str, str, Any, str, str, str]) -> None:
    code, path, value, status, words, fix = fault
    one = min(findings(code, spoiled(path, value)), key=lambda found: STATUSES.index(found["status"]))
    assert (one["code"], one["status"]) == (code, status), one
    assert words in one["found"]
    assert fix in one["fix"]


@pytest.mark.parametrize("code", OWN)
def test_what_could_not_be_read_is_unknown_with_the_reason(code: str) -> None:
    facts = {**HEALTHY, NOT_KNOWN[code]: Unknown("it is dark")}
    [one] = findings(code, facts)
    assert (one["status"], one["found"]) == ("unknown", "it is dark")


def test_every_check_of_the_module_has_a_fault_here_and_a_judge() -> None:
    assert {fault[0] for fault in FAULTS} == set(OWN)
    assert set(JUDGES) == set(OWN)


@pytest.mark.parametrize("code", ["EDGE-CNI-CONFIG", "EDGE-RUNTIME-SOCKET"])
def test_before_the_installation_what_is_missing_is_no_fault(code: str) -> None:
    bare = {"there": False, "answers": False, "configured": False}
    facts = {**HEALTHY, "units": {}, "cni": {**HEALTHY["cni"], "file": ""}}
    facts["containers"] = {**HEALTHY["containers"], **bare}
    [one] = findings(code, facts)
    assert one["status"] == "unknown"
    assert "site.yml" in one["found"]


def test_a_firewall_that_lets_the_ports_in_is_fine() -> None:
    rules = ["-P INPUT DROP", "-A INPUT -p tcp -m multiport --dports 10000:10004,22 -j ACCEPT"]
    [one] = findings("HOST-FIREWALL", spoiled("firewall/iptables", rules))
    assert one["status"] == "ok"


def test_rules_for_some_packets_only_say_nothing_about_the_port() -> None:
    rules = ["-P INPUT DROP", "-A INPUT -i lo -j ACCEPT", "-A INPUT -m state --state ESTABLISHED -j ACCEPT"]
    found = findings("HOST-FIREWALL", spoiled("firewall/iptables", rules))
    assert [one["subject"] for one in found] == ["10000", "10002"]


def test_a_chain_of_nftables_that_iptables_keeps_is_named_once() -> None:
    table = [{"chain": {**CHAIN, "family": "ip", "name": "INPUT", "policy": "drop"}}]
    both = {**HEALTHY["firewall"], "iptables": NO_RULE, "nft": table}
    assert len(findings("HOST-FIREWALL", {**HEALTHY, "firewall": both})) == 2  # two ports
    alone = {**both, "iptables": None}
    [one, _] = findings("HOST-FIREWALL", {**HEALTHY, "firewall": alone})
    assert "chain ip filter INPUT of nftables" in one["found"]


def test_a_host_without_iptables_says_nothing_about_its_forward_chain() -> None:
    [one] = findings("EDGE-FORWARD-DROP", spoiled("firewall/iptables", None))
    assert (one["status"], one["found"]) == ("unknown", "iptables is not installed")


def test_a_firewall_of_an_edge_node_is_none_of_the_clusters_business() -> None:
    [one] = findings("HOST-FIREWALL", spoiled("firewall", UFW), sides=["edge"])
    assert one["status"] == "ok"


def test_the_tunnels_port_is_looked_at_where_there_are_tunnels() -> None:
    refused = spoiled("firewall/iptables", NO_RULE)
    found = findings("HOST-FIREWALL", refused, tunnel_port=10004)
    assert [one["subject"] for one in found] == ["10000", "10002", "10004"]
    assert [one["subject"] for one in findings("HOST-FIREWALL", refused, tunnel_port=0)] == ["10000", "10002"]


def test_the_routers_port_is_looked_at_where_there_is_a_router() -> None:
    refused = spoiled("firewall/iptables", NO_RULE)
    found = findings("HOST-FIREWALL", refused, router_port=9443)
    assert [one["subject"] for one in found] == ["10000", "10002", "9443"]
    assert "refuses what clients of the router send" in found[-1]["found"]
    assert [one["subject"] for one in findings("HOST-FIREWALL", refused, router_port=0)] == ["10000", "10002"]
    edge = findings("HOST-FIREWALL", refused, sides=["edge"], router_port=9443)
    assert [one["status"] for one in edge] == ["ok"]
    stranger = spoiled("listeners/1", {**HEALTHY["listeners"][1], "port": 9443, "process": "nc"})
    [one] = findings("HOST-PORT-TAKEN", stranger, router_port=9443)
    assert (one["subject"], one["status"]) == ("9443", "failed")
    [one] = findings("HOST-PORT-TAKEN", stranger)
    assert one["status"] == "ok"


def test_a_forward_policy_with_a_rule_for_the_bridge_is_fine() -> None:
    rules = ["-P FORWARD DROP", "-A FORWARD -i edgelab0 -j ACCEPT"]
    [one] = findings("EDGE-FORWARD-DROP", spoiled("firewall/iptables", rules))
    assert one["status"] == "ok"


def test_a_node_name_that_is_no_dns_name_is_refused() -> None:
    [one] = findings("HOST-NAME", HEALTHY, node_name="Edge 1")
    assert (one["status"], "edgecore_node_name" in one["fix"]) == ("failed", True)


def test_a_wildcard_name_covers_one_label() -> None:
    facts = spoiled("cloud/tls/names", ["*.example.org"])
    facts["cloud"]["address"] = "cloud.example.org"
    assert findings("EDGE-CLOUD-SAN", facts)[0]["status"] == "ok"
    facts["cloud"]["address"] = "a.cloud.example.org"
    assert findings("EDGE-CLOUD-SAN", facts)[0]["status"] == "failed"


def test_a_defect_of_a_check_is_unknown_and_ends_nothing() -> None:
    [one] = findings("HOST-MEMORY", spoiled("memory", {}))
    assert one["status"] == "unknown"
    assert "the check itself failed: KeyError" in one["found"]


@pytest.mark.parametrize(
    "secret",
    ["ab" * 32 + ".eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln", "password=hunter2", "token: s3cret"],
)
def test_secrets_do_not_get_into_findings(secret: str) -> None:
    facts = spoiled("units/edgecore.service", {**LOOP, "journal": f"refused {secret}"})
    text = " ".join(one["found"] for one in findings("HOST-UNIT", facts))
    assert not {"eyJ", "hunter2", "s3cret"} & set(text.replace(".", " ").split())
    assert secret not in text
    assert secret not in redacted(secret)


def test_time_series_that_were_only_installed_are_not_looked_at() -> None:
    unused = {**HEALTHY["units"]["victoria-metrics.service"], "state": "inactive", "enabled": "disabled"}
    facts = {**HEALTHY, "units": {"victoria-metrics.service": unused}}
    facts["answers"] = {**HEALTHY["answers"], "timeseries": {"status": 0, "text": "refused"}}
    assert findings("CLOUD-TIMESERIES", facts) == []
    stopped = {"victoria-metrics.service": {**unused, "enabled": "enabled"}}
    [one] = findings("CLOUD-TIMESERIES", {**facts, "units": stopped})
    assert one["status"] == "failed"
