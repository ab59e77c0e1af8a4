#!/usr/bin/env python3
"""Inventory of the local lab: the hosts that `make up` booted, at the addresses that they got.

An executable inventory (https://docs.ansible.com/ansible/latest/inventory_guide/intro_dynamic_inventory.html),
because the lab's subnet is chosen so that it collides with nothing on this machine. Before the lab is up
the groups are there and the hosts have no address.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("EDGELAB_STATE_DIR") or CHECKOUT / ".lab")
DEFAULT_HOSTS = ("cloud", "edge1")
BOX = "box"
"""How the name of a host begins that is in both groups: cloud and edge at once."""


def inventory() -> dict[str, object]:
    """The whole inventory, in the form that `--list` asks for."""
    try:
        state = json.loads((STATE / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        state = {"hosts": dict.fromkeys(DEFAULT_HOSTS)}
    names = list(state["hosts"])
    # Workers of kubeadm, and boxes that follow EdgeSite; a scenario has them, the lab does not.
    more = {
        group: [name for name in names if name.startswith(prefix)]
        for group, prefix in (("workers", "worker"), ("standby", "standby"))
    }
    groups = {group: members for group, members in more.items() if members}
    return {
        "all": {
            "children": ["cloud", "edge", *groups],
            # Here and not in group_vars: what is relative to the checkout is known here for every host,
            # localhost included, and from whichever folder the playbook runs.
            "vars": {"edgelab_state_dir": str(STATE), "edgelab_cache_dir": str(CHECKOUT / ".cache")},
        },
        "cloud": {"hosts": [name for name in names if name.startswith(("cloud", BOX))]},
        "edge": {"hosts": [name for name in names if name.startswith(("edge", BOX))]},
        **{group: {"hosts": members} for group, members in groups.items()},
        "_meta": {
            "hostvars": {
                name: host_variables(state, entry) for name, entry in state["hosts"].items() if entry
            }
        },
    }


def host_variables(state: dict[str, Any], entry: dict[str, str]) -> dict[str, str]:
    """How a host is reached, and the address that the cluster knows it by."""
    return {
        "edgelab_node_ip": entry["address"],
        "ansible_host": entry["address"],
        "ansible_user": "root",
        "ansible_ssh_private_key_file": state["key"],
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={state['known_hosts']} -o IdentitiesOnly=yes",
        "ansible_control_path": entry["control_path"],
        "ansible_python_interpreter": "/usr/bin/python3",
    }


if __name__ == "__main__":
    print(json.dumps({} if "--host" in sys.argv else inventory(), indent=2))
