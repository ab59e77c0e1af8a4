"""A second node in a network of its own behind the lab's bridge: EdgeCore without pods, an agent, servers."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from tests.component.edgemesh.lab import NODE_IP, SERVING, MeshLab, sh
from tests.component.metaserver.lab import BIN, EdgeNode, Process

NAME = "edge2"
OWN_IP, HIDDEN_IP = "10.99.0.2", "10.88.0.2"
"""On the bridge; and that of its pods, to which no other node has a route."""
INSIDE = ("ip", "netns", "exec", NAME)
ECHO = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(({ip!r}, {port}))
print("Serving", flush=True)
while True:
    data, client = sock.recvfrom(2000)
    sock.sendto(b"{name} " + data, client)
"""
ASK = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(2)
sock.sendto(b"hello", ({ip!r}, {port}))
print(sock.recvfrom(2000)[0].decode())
"""


class OtherNode:
    """`core` and `mesh` are its daemons."""

    def __init__(self, lab: MeshLab) -> None:
        self._lab = lab
        self._servers: list[Process] = []
        sh("ip", "netns", "add", NAME)
        sh("ip", "link", "add", "to-edge2", "type", "veth", "peer", "name", "net0", "netns", NAME)
        sh("ip", "link", "set", "to-edge2", "master", "net0", "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{OWN_IP}/24", "dev", "net0"),
            ("addr", "add", f"{HIDDEN_IP}/32", "dev", "lo"),
            ("link", "set", "net0", "up"),
        ):
            sh(*INSIDE, "ip", *words)
        node = EdgeNode(lab, lab.directory / NAME, NAME)
        config = node.directory / "edgecore.yaml"
        settings = yaml.safe_load(config.read_text())
        hub = settings["modules"]["edgeHub"]
        hub["httpServer"] = f"https://{NODE_IP}:{lab.https}"
        hub["websocket"]["server"] = f"{NODE_IP}:{lab.nodes}"
        config.write_text(yaml.safe_dump(settings))
        self.core = self._process("edgecore", BIN / "edgecore", "--config", config, serving="running edgehub")
        agent = lab.write_mesh(node, NODE_IP, hostResolver=False)
        self.mesh = self._process("mesh", BIN / "edgemesh-agent", "--config", agent, serving=SERVING)

    def start(self) -> None:
        """Join, and run the mesh."""
        self.core.start()
        self.mesh.start()

    def stop(self) -> None:
        """End everything and take the network away."""
        for process in (*self._servers, self.mesh, self.core):
            process.stop()
        sh("ip", "netns", "del", NAME)
        sh("ip", "link", "del", "to-edge2", check=False)

    def serve(self, port: int) -> None:
        """A page that says `edge2`, over TCP, and an echo that does, over UDP."""
        self._servers += [
            self._process(
                "page", *page_server(self._lab.directory, NAME, HIDDEN_IP, port), serving="Serving"
            ),
            self._process("echo", *echo_server(NAME, HIDDEN_IP, port), serving="Serving"),
        ]
        for server in self._servers:
            server.start()

    def curl(self, url: str) -> str:
        """What this node's own programs get."""
        return sh(*INSIDE, "curl", "-sS", "--max-time", "5", url, check=False)

    def ask(self, ip: str, port: int) -> str:
        """What comes back for the datagram `hello`; empty when nothing does."""
        return sh(*INSIDE, sys.executable, "-c", ASK.format(ip=ip, port=port), check=False).strip()

    def link(self, state: str) -> None:
        """`down` pulls its cable, `up` puts it back."""
        sh("ip", "link", "set", "to-edge2", state)

    def _process(self, name: str, *command: str | Path, serving: str) -> Process:
        return Process(f"{NAME}-{name}", self._lab.directory, *INSIDE, *command, serving=serving)


def page_server(directory: Path, text: str, ip: str, port: int) -> tuple[str, ...]:
    """The command that serves a page with a text."""
    place = directory / f"page-{text}"
    place.mkdir(exist_ok=True)
    (place / "index.html").write_text(text)
    return (sys.executable, "-m", "http.server", "--bind", ip, "--directory", str(place), str(port))


def echo_server(name: str, ip: str, port: int) -> tuple[str, ...]:
    """The command that answers datagrams with a name before them."""
    return (sys.executable, "-c", ECHO.format(ip=ip, port=port, name=name))
