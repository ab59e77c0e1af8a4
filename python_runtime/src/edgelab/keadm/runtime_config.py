"""What containerd's own configuration says about cgroups, for which EdgeCore must use the same driver."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

CONTAINERD_CONFIG = "/etc/containerd/config.toml"
KEY = "SystemdCgroup"


def cgroup_driver(config: Path) -> str:
    """`systemd`, `cgroupfs`, or nothing when there is no file that could be read.

    Without the key containerd uses cgroupfs (containerd `docs/cri/config.md`).
    """
    try:
        found = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return "systemd" if any(_values(found)) else "cgroupfs"


def _values(value: Any) -> list[bool]:
    """All values of the key, at whatever depth: its path depends on the version of the file."""
    if not isinstance(value, dict):
        return []
    own = [bool(value[KEY])] if KEY in value else []
    return own + [found for item in value.values() for found in _values(item)]
