"""Facts of healthy hosts, as the doctor gathers them, for tests to spoil one by one."""

from __future__ import annotations

import copy
from typing import Any

GIB = 1024**3
DISK = {
    "path": "/",
    "size": 10 * GIB,
    "free": 5 * GIB,
    "inodes": 1000,
    "inodes_free": 900,
    "read_only": False,
}
UNIT = {
    "state": "active",
    "sub": "running",
    "result": "success",
    "restarts": 0,
    "enabled": "enabled",
    "up": 5000.0,
    "journal": "",
}
WANTED: dict[str, Any] = {
    "sides": ["cloud", "edge"],
    "node_name": "edge1",
    "node_ip": "10.0.0.11",
    "names": {"cloud": "10.0.0.10"},
    "controller_time": 1000.0,
    "clock_tolerance": 60,
    "hub_port": 10000,
    "https_port": 10002,
    "ca_file": "/etc/kubeedge/ca/rootCA.crt",
    "cni_bin_dirs": ["/usr/lib/cni", "/opt/cni/bin"],
}
METRICS = "edgelab_twinexporter_waiting_lines 3\nedgelab_twinexporter_dropped_total 0\n"
HEALTHY: dict[str, Any] = {
    "now": 1000.0,
    "system": {
        "python": [3, 11, 2],
        "distribution": "Debian GNU/Linux 12 (bookworm)",
        "family": ["debian"],
        "systemd": True,
        "hostname": "edge1",
        "board": "Raspberry Pi 4 Model B",
        "container": False,
        "kubelet": False,
    },
    "memory": {"total": 2 * GIB, "available": GIB, "swap": GIB, "swap_free": GIB},
    "disks": [DISK],
    "clock": {"now": 1000.4, "keepers": ["systemd-timesyn"]},
    "cgroup": {"version": 2, "memory": True, "driver": "systemd"},
    "kernel": {"overlay": True, "ip_forward": "1", "bridge_netfilter": "1"},
    "names": {"cloud": ["10.0.0.10"]},
    "listeners": [
        {"port": 1883, "address": "127.0.0.1", "process": "mosquitto", "pid": 5},
        {"port": 10000, "address": "0.0.0.0", "process": "cloudcore", "pid": 6},
        {"port": 22, "address": "0.0.0.0", "process": "sshd", "pid": 7},
    ],
    "routes": [{"interface": "eth0", "metric": 100}],
    "own_address": {"owned": True},
    "firewall": {
        "front_ends": [],
        "interface": "eth0",
        "iptables": ["-P INPUT ACCEPT", "-P FORWARD ACCEPT"],
        "nft": [],
    },
    "units": {
        "edgecore.service": UNIT,
        "edgelab-mapper-pumps.service": UNIT,
        "cloudcore.service": UNIT,
        "victoria-metrics.service": UNIT,
        "edgelab-twinexporter.service": UNIT,
        "edgelab-console.service": UNIT,
    },
    "runtime": {
        "installed": True,
        "version": "1.0.0+a",
        "complete": True,
        "missing": [],
        "others": ["1.0.0+a"],
    },
    "secrets": [{"path": "/etc/kubeedge/certs/server.key", "mode": 0o600, "owner": 0}],
    "databases": [{"path": "/var/lib/kubeedge/edgecore.db", "problem": ""}],
    "cloud": {
        "address": "10.0.0.10",
        "resolved": ["10.0.0.10"],
        "why": "",
        "ports": {"10000": "", "10002": ""},
        "tls": {"names": ["10.0.0.10", "cloud"], "expires": 1000.0 + 400 * 86400},
    },
    "containers": {
        "socket": "/run/containerd/containerd.sock",
        "there": True,
        "answers": True,
        "driver": "systemd",
        "disabled": [],
        "configured": True,
    },
    "cni": {
        "directory": "/etc/cni/net.d",
        "file": "10-edgelab.conflist",
        "problem": "",
        "missing": [],
        "network": "edgelab",
        "bridges": ["edgelab0"],
    },
    "mosquitto": {"configured": True, "listeners": [1883], "anonymous": True, "acl": False},
    "settings": {
        "cgroup_driver": "systemd",
        "mqtt_mode": 2,
        "mqtt_external": "tcp://127.0.0.1:1883",
        "mqtt_internal": "tcp://127.0.0.1:1884",
        "mqtt_users": True,
        "mqtt_rules": False,
    },
    "answers": {
        "cloudcore": {"status": 200, "text": "ok"},
        "timeseries": {"status": 200, "text": "OK"},
        "exporter": {"status": 200, "text": "ok"},
        "console": {"status": 200, "text": "ok"},
        "exporter_metrics": {"status": 200, "text": METRICS},
    },
}


def spoiled(path: str, value: Any) -> dict[str, Any]:
    """Healthy facts with one value changed; the path is dotted, numbers count in lists."""
    facts = copy.deepcopy(HEALTHY)
    place: Any = facts
    *way, last = path.split("/")
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(last) if isinstance(place, list) else last] = value
    return facts
