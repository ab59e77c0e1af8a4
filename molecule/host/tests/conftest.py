"""What the tests of role host share: connections through firewalls, and plays between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parents[3]
PROBE = """
import concurrent.futures, json, socket, sys
def answers(port):
    try:
        socket.create_connection((sys.argv[1], port), timeout=2).close()
    except OSError:
        return False
    return True
ports = [int(port) for port in sys.argv[2:]]
with concurrent.futures.ThreadPoolExecutor() as pool:
    print(json.dumps([port for port, open in zip(ports, pool.map(answers, ports)) if open]))
"""


class Lab:
    """The scenario's hosts, and who reaches what on them."""

    LISTENING = (1883, 9999, 10000, 10002, 10004, 10005, 30000, 30004)
    DEPLOYMENT = ("cloud1", "cloud2")

    def __init__(self) -> None:
        self.inventory = str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)

    def host(self, name: str) -> Host:
        return testinfra.get_host(f"ansible://{name}", ansible_inventory=self.inventory)

    def address(self, name: str) -> str:
        found: str = self.host(name).ansible.get_variables()["edgelab_node_ip"]
        return found

    def reached(self, name: str, *, by: str = "edge1") -> set[int]:
        """Ports of a host at which another one, or this machine (`here`), gets a connection."""
        words = [self.address(name), *map(str, self.LISTENING)]
        if by == "here":
            command = [sys.executable, "-c", PROBE, *words]
            return set(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
        return set(json.loads(self.host(by).check_output("python3 -c %s " + " ".join(words), PROBE)))

    def wanted(self, name: str) -> set[int]:
        """What is to be reached: the hub, the administrator's port, MQTT, and NodePorts of a Deployment."""
        return {1883, 10000, 10002, 10004} | ({30000, 30004} if name in self.DEPLOYMENT else set())

    def examined(self, name: str) -> list[dict[str, str]]:
        """What the doctor says about a host's firewall."""
        words = f"sides=cloud only=HOST-FIREWALL node_ip={self.address(name)}"
        found: list[dict[str, str]] = self.host(name).ansible("edgelab.kubeedge.edge_doctor", words)["checks"]
        return found

    def play(self, folder: Path, text: str, *options: str) -> None:
        """Runs a playbook on the hosts."""
        playbook = folder / "play.yml"
        playbook.write_text(text, encoding="utf-8")
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [str(program), "-i", self.inventory, str(playbook), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
        assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()
