#!/usr/bin/env python3
"""Hosts of a scenario on Docker or on machines of Vagrant; the default, nspawn hosts, needs none of this.

Both leave the lab's keys and `state.json` in the scenario's folder in the form of the local lab, so that
the same inventory (inventories/local/hosts.py) serves them. Its modules come by
PYTHONPATH, which create.yml sets.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lab_boxes.docker_daemon import Daemon
from nspawn_lab import control, seed
from nspawn_lab.definition import Host, Lab
from nspawn_lab.shell import LabError, run

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "vagrant" / "boxes" / "build"
HOST_KEYS = "/etc/ssh/ssh_host_ed25519_key"
DOCKER_OPTIONS = ("--stop-signal=SIGRTMIN+3", "--cgroupns=private", "--tmpfs=/run", "--tmpfs=/tmp")
CAPABILITIES = (
    "SYS_ADMIN",
    "NET_ADMIN",
    "SYS_PTRACE",
    "SYS_NICE",
    "SYSLOG",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "MKNOD",
    "AUDIT_WRITE",
)
"""As in vagrant/Vagrantfile: what systemd and containers of its own need inside a container."""
UNCONFINED = ("seccomp", "apparmor", "systempaths")
SSH_SECONDS = 120
ROOT_KEY = "install -d -m 700 /root/.ssh && install -m 600 /dev/stdin /root/.ssh/authorized_keys"


def main() -> int:
    """Makes or removes the hosts; 0 when it worked, 1 with one line on standard error when not."""
    parser = argparse.ArgumentParser(description="Hosts of a molecule scenario.")
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--hosts", default="", help="names, separated by commas")
    parser.add_argument("what", choices=["docker", "vagrant", "destroy"])
    options = parser.parse_args()
    lab = Lab(Path(os.path.realpath(options.state)))
    names = options.hosts.split(",")
    try:
        if options.what == "destroy":
            changed = destroy(lab)
        else:
            lab.state.mkdir(parents=True, exist_ok=True)
            changed = (on_docker if options.what == "docker" else on_vagrant)(lab, names)
    except LabError as error:
        print(f"hosts: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"changed": changed}))
    return 0


def destroy(lab: Lab) -> bool:
    """Removes the scenario's containers and machines; the folder itself goes with role lab_host."""
    changed = (lab.state / "docker").exists() and Daemon(lab).stop()
    if (lab.state / "vagrant").exists():
        vagrant(lab, "destroy", "--force")
        changed = True
    return changed


def on_docker(lab: Lab, names: list[str]) -> bool:
    """Containers with systemd under a daemon of the scenario's own."""
    daemon = Daemon(lab)
    daemon.start()
    image = run([str(BUILD), "docker"], env={**os.environ, "DOCKER_HOST": daemon.host}).strip()
    subnet, hosts = lab.load()
    planned = lab.plan(str(subnet), names, hosts, dict.fromkeys(names, Path(image)))
    seed.make_keys(lab, list(planned.values()))
    new = [name for name in names if name not in hosts]
    for name in new:
        start_container(daemon, lab, name, image)
    known = {}
    for name in planned:
        shown = json.loads(daemon.docker("inspect", name))[0]
        known[name] = lab.host(name, shown["NetworkSettings"]["IPAddress"], Path(image))
    finish(lab, str(subnet), known)
    return bool(new)


def start_container(daemon: Daemon, lab: Lab, name: str, image: str) -> None:
    """A container with the keys that the lab made for it."""
    words = [*DOCKER_OPTIONS, *(f"--cap-add={capability}" for capability in CAPABILITIES)]
    words += [f"--security-opt={part}=unconfined" for part in UNCONFINED]
    daemon.docker(
        "create", f"--name={name}", f"--hostname={name}", "--volume=/var/lib/containerd", *words, image
    )
    keys = lab.key.parent
    for source, target in ((name, HOST_KEYS), (f"{name}.pub", f"{HOST_KEYS}.pub")):
        daemon.docker("cp", str(keys / source), f"{name}:{target}")
    daemon.docker("start", name)
    authorize(["docker", "--host", daemon.host, "exec", "--interactive", name, "sh", "-c", ROOT_KEY], lab)


def on_vagrant(lab: Lab, names: list[str]) -> bool:
    """Machines of the checkout's Vagrantfile, from a topology of the scenario's own."""
    folder = lab.state / "vagrant"
    created = not folder.exists()
    folder.mkdir(exist_ok=True)
    # A third octet of the scenario's own inside 192.168.56.0/21, which is all that VirtualBox offers.
    third = 57 + hashlib.sha256(str(lab.state).encode()).digest()[0] % 7
    subnet = f"192.168.{third}.0/24"
    # A topology has both groups, also for a scenario that brings up a host of one only.
    everyone = [
        *names,
        *(group for group in ("cloud", "edge") if not any(n.startswith(group) for n in names)),
    ]
    nodes = [
        {
            "name": name,
            "group": "cloud" if name.startswith("cloud") else "edge",
            "address": f"192.168.{third}.{at}",
        }
        for at, name in enumerate(everyone, 10)
    ]
    defaults = {"cpus": 2, "memory": 1024, "box": "debian/bookworm64"}
    # JSON is YAML.
    text = json.dumps({"network": subnet, "defaults": defaults, "nodes": nodes}, indent=2)
    (folder / "topology.yml").write_text(text, encoding="utf-8")
    vagrant(lab, "up", "--no-provision", *names)
    config = folder / "ssh_config"
    config.write_text(vagrant(lab, "ssh-config", *names), encoding="utf-8")
    hosts = {
        node["name"]: lab.host(node["name"], node["address"], folder)
        for node in nodes
        if node["name"] in names
    }
    seed.make_keys(lab, list(hosts.values()))
    for name in names:
        ssh = ["ssh", "-F", str(config), name]
        authorize([*ssh, f"sudo sh -c '{ROOT_KEY}'"], lab)
        # The machine's own key, over the connection that Vagrant made.
        public = run([*ssh, "cat", f"{HOST_KEYS}.pub"])
        (lab.key.parent / f"{name}.pub").write_text(public, encoding="utf-8")
    finish(lab, subnet, hosts)
    return created


def vagrant(lab: Lab, *words: str) -> str:
    """Runs Vagrant for this scenario only and returns what it printed."""
    folder = lab.state / "vagrant"
    environment = {
        **os.environ,
        "VAGRANT_CWD": str(CHECKOUT),
        "VAGRANT_DOTFILE_PATH": str(folder),
        "EDGELAB_TOPOLOGY": str(folder / "topology.yml"),
    }
    return run(["vagrant", *words], env=environment)


def authorize(command: list[str], lab: Lab) -> None:
    """Lets the lab's key in as root; `command` writes what it reads into root's authorized_keys."""
    key = lab.key.with_suffix(".pub").read_text(encoding="utf-8")
    done = subprocess.run(command, input=key, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"root's key could not be written: {done.stderr.strip()}")


def finish(lab: Lab, subnet: str, hosts: dict[str, Host]) -> None:
    """Writes known_hosts and state.json with the addresses that the hosts got, and waits for their SSH."""
    seed.make_keys(lab, list(hosts.values()))
    lab.save(subnet, hosts)
    control.hand_over(lab)
    for host in hosts.values():
        wait_for_ssh(host)


def wait_for_ssh(host: Host) -> None:
    """Waits until the host greets on port 22.

    Raises:
        LabError: it does not in time.
    """
    deadline = time.monotonic() + SSH_SECONDS
    while not control.answers(host):
        if time.monotonic() > deadline:
            raise LabError(f"{host.name} at {host.address} did not answer SSH within {SSH_SECONDS} s")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
