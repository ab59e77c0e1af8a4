"""What the doctor reads of what is installed: services, runtime, secrets' modes, databases, containers."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import socket
import sqlite3
import stat
import time

from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import Unknown
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_gather_host import text_of
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_gather_network import output_of
from ansible_collections.edgelab.kubeedge.plugins.module_utils.runtime_layout import Layout

PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "UnitFileState",
    "ActiveEnterTimestampMonotonic",
)
SECRETS = (
    "/etc/kubeedge/config/*.yaml",
    "/etc/kubeedge/certs/*.key",
    "/etc/kubeedge/ca/*.key",
    "/etc/kubeedge/bootstrap-edgecore.conf",
    "/etc/edgelab/admin.kubeconfig",
    "/etc/kubernetes/admin.conf",
    "/var/lib/edgesite/tls/*.key",
    "/var/lib/edgesite/*.db",
    "/var/lib/kubeedge/*.db",
)
DATABASES = ("/var/lib/kubeedge/edgecore.db", "/var/lib/edgesite/state.db")
MAPPERS = ("edgelab-mapper-*.service", "edgelab-cpu-temperature.service")
"""Units that roles mapper and cpu_temperature_demo make."""
PROGRAMS = {"cloud": ("keadm", "cloudcore"), "edge": ("keadm", "edgecore")}


def mappers(directory="/etc/systemd/system"):
    """Names of the units of mappers that are on the host."""
    found = [path for pattern in MAPPERS for path in glob.glob(os.path.join(directory, pattern))]
    return sorted(os.path.basename(path) for path in found)


def units(names):
    """State of the systemd units that are installed, with the last journal line of those that do not run."""
    text = output_of("systemctl", "show", "--property", ",".join(PROPERTIES), *names)
    found = {}
    for block in text.strip().split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines())
        if unit.get("LoadState") in (None, "not-found"):
            continue
        entered = int(unit.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        found[unit["Id"]] = {
            "state": unit["ActiveState"],
            "sub": unit["SubState"],
            "result": unit["Result"],
            "restarts": int(unit["NRestarts"] or 0) if "NRestarts" in unit else 0,
            "enabled": unit["UnitFileState"],
            "up": time.monotonic() - entered if entered else 0,
            "journal": "",
        }
    for name, unit in found.items():
        if unit["state"] != "active" or unit["restarts"]:
            unit["journal"] = _journal(name)
    return found


def _journal(name):
    with contextlib.suppress(Unknown):
        lines = output_of(
            "journalctl", "--unit", name, "--lines=20", "--output=cat", "--no-pager"
        ).splitlines()
        own = [
            line
            for line in lines
            if line and not re.match(r"^(?:Started|Starting|Stopped|Stopping|.*\.service:) ", line)
        ]
        return (own or lines or [""])[-1]
    return ""


def runtime(root, sides):
    """The current version of the runtime and what is missing of it."""
    if not os.path.isdir(root):
        return {"installed": False}
    layout = Layout(root)
    version = layout.linked("current")
    programs = sorted({name for side in sides for name in PROGRAMS[side]} | {"python"})
    base = os.path.join(root, "current", "bin")
    return {
        "installed": True,
        "version": version,
        "complete": layout.is_complete(version),
        "missing": [name for name in programs if not os.access(os.path.join(base, name), os.X_OK)],
        "others": layout.versions(),
    }


def secrets():
    """Mode and owner of files that hold secrets, never their content."""
    found = []
    for path in sorted(path for pattern in SECRETS for path in glob.glob(pattern)):
        status = os.stat(path)
        found.append({"path": path, "mode": stat.S_IMODE(status.st_mode), "owner": status.st_uid})
    return found


def databases(paths=DATABASES):
    """SQLite's quick check of each file that is there; read-only, and immutable when nobody writes."""
    return [{"path": path, "problem": _quick_check(path)} for path in paths if os.path.exists(path)]


def _quick_check(path):
    # Without a write-ahead log nobody has it open; immutable then leaves no -shm file behind.
    alone = "" if os.path.exists(path + "-wal") else "&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro{alone}", uri=True, timeout=2)) as file:
            said = file.execute("PRAGMA quick_check(1)").fetchone()[0]
            file.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if said == "ok" else said


def containers(socket_path):
    """The container runtime's socket and what its configuration says."""
    config = text_of("/etc/containerd/config.toml")
    systemd = re.search(r"^\s*SystemdCgroup\s*=\s*(true|false)", config, re.MULTILINE)
    disabled = re.search(r"^\s*disabled_plugins\s*=\s*\[([^\]]*)\]", config, re.MULTILINE)
    docker = text_of("/etc/docker/daemon.json")
    driver = {"true": "systemd", "false": "cgroupfs"}[systemd.group(1)] if systemd else None
    if "docker" in socket_path or "cri-dockerd" in socket_path:
        named = re.search(r"native\.cgroupdriver=(\w+)", docker)
        driver = named.group(1) if named else None
    return {
        "socket": socket_path,
        "there": os.path.exists(socket_path),
        "answers": _answers(socket_path),
        "driver": driver,
        "disabled": re.findall(r"[\w.]+", disabled.group(1)) if disabled else [],
        "configured": bool(config),
    }


def _answers(path):
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(2)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def cni(conf_dir, bin_dirs):
    """The configuration that a runtime takes, the first by name, and the plugins that it names."""
    names = sorted(os.listdir(conf_dir)) if os.path.isdir(conf_dir) else []
    files = [name for name in names if name.endswith((".conf", ".conflist", ".json"))]
    found = {
        "directory": conf_dir,
        "file": files[0] if files else "",
        "problem": "",
        "missing": [],
        "network": "",
    }
    if not files:
        return found
    try:
        document = json.loads(text_of(os.path.join(conf_dir, files[0])))
        plugins = document.get("plugins") or [document]
        types = [plugin["type"] for plugin in plugins] + [p["ipam"]["type"] for p in plugins if p.get("ipam")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return {**found, "problem": f"{type(error).__name__}: {error}"}
    bridges = [plugin["bridge"] for plugin in plugins if plugin.get("bridge")]
    missing = [kind for kind in types if not any(os.access(os.path.join(d, kind), os.X_OK) for d in bin_dirs)]
    return {**found, "network": document.get("name", ""), "missing": missing, "bridges": bridges}


def mosquitto(directory="/etc/mosquitto"):
    """Listeners of Mosquitto's configuration, and whether strangers may use them."""
    files = [
        os.path.join(directory, "mosquitto.conf"),
        *sorted(glob.glob(os.path.join(directory, "conf.d", "*.conf"))),
    ]
    if not os.path.exists(files[0]):
        return {"configured": False, "listeners": [], "anonymous": False, "acl": False}
    rows = [
        line.split()
        for path in files
        for line in text_of(path).splitlines()
        if line.strip() and line[0] != "#"
    ]
    ports = [
        int(row[1]) for row in rows if row[0] in ("listener", "port") and len(row) > 1 and row[1].isdigit()
    ]
    return {
        "configured": True,
        "listeners": ports,
        "anonymous": any(row[:2] == ["allow_anonymous", "true"] for row in rows),
        "acl": any(row[0] in ("acl_file", "plugin", "auth_plugin") for row in rows),
    }
