"""What the runtime's own configuration says about cgroups, for which EdgeCore must use the same driver."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

CONTAINERD_CONFIG = "/etc/containerd/config.toml"
DOCKER_CONFIG = "/etc/docker/daemon.json"
KEY = "SystemdCgroup"
OPTION = "native.cgroupdriver="
UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")


def cgroup_driver(config: Path) -> str:
    """`systemd`, `cgroupfs`, or nothing when there is no file that could be read.

    Without the key containerd uses cgroupfs (containerd `docs/cri/config.md`).
    """
    try:
        found = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return "systemd" if any(_values(found)) else "cgroupfs"


def docker_cgroup_driver(config: Path, unified: Path = UNIFIED) -> str:
    """`systemd` or `cgroupfs`: as daemon.json says, else Docker's own choice by the version of cgroups.

    Docker takes systemd where there is one hierarchy (moby `daemon/daemon_unix.go`, since 20.10).
    """
    try:
        options = json.loads(config.read_text(encoding="utf-8")).get("exec-opts") or []
    except (OSError, ValueError, AttributeError):
        options = []
    named = [str(one).removeprefix(OPTION) for one in options if str(one).startswith(OPTION)]
    return named[-1] if named else "systemd" if unified.exists() else "cgroupfs"


def _values(value: Any) -> list[bool]:
    """All values of the key, at whatever depth: its path depends on the version of the file."""
    if not isinstance(value, dict):
        return []
    own = [bool(value[KEY])] if KEY in value else []
    return own + [found for item in value.values() for found in _values(item)]
