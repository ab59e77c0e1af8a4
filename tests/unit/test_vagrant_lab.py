"""The inventory of the Vagrant lab: running machines only, addresses from the topology, clear refusals."""

from __future__ import annotations

import subprocess
import textwrap
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.constants import config
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible_collections.edgelab.kubeedge.plugins.inventory import vagrant_lab
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import vagrant_topology

from tests.unit.module_harness import CHECKOUT

Status = namedtuple("Status", ["name", "state", "provider"])
SSH = """\
Host {name}
  HostName 127.0.0.1
  User vagrant
  Port {port}
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  IdentityFile "/keys/{name} one"
"""


class FakeVagrant:
    """python-vagrant as the plugin calls it."""

    def __init__(self, states: dict[str, str], provider: str = "libvirt") -> None:
        self.states = states
        self.provider = provider
        self.asked: list[str | None] = []
        self.root = ""

    def get_vagrant_executable(self) -> str:
        return "/usr/bin/vagrant"

    def Vagrant(self, root: str, quiet_stderr: bool) -> FakeVagrant:
        self.root = root
        return self

    def status(self) -> list[Status]:
        return [Status(name, state, self.provider) for name, state in self.states.items()]

    def ssh_config(self, vm_name: str | None = None) -> str:
        self.asked.append(vm_name)
        if vm_name is None and set(self.states.values()) != {"running"}:
            raise subprocess.CalledProcessError(1, "vagrant ssh-config")
        names = [vm_name] if vm_name else list(self.states)
        return "".join(SSH.format(name=name, port=2200 + at) for at, name in enumerate(names))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., InventoryData]:
    for variable in ("EDGELAB_TOPOLOGY", "EDGELAB_STATE_DIR", "VAGRANT_CWD", "VAGRANT_DOTFILE_PATH"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "vagrant").mkdir()
    (tmp_path / "vagrant" / "topology.yml").write_text((CHECKOUT / "vagrant" / "topology.yml").read_text())

    def read(fake: Any, **options: Any) -> InventoryData:
        monkeypatch.setattr(vagrant_lab, "vagrant", fake)
        file = tmp_path / "lab.vagrant.yml"
        settings = {"plugin": "edgelab.kubeedge.vagrant_lab", "vagrant_directory": ".", **options}
        file.write_text(yaml.safe_dump(settings))
        plugin = vagrant_lab.InventoryModule()
        plugin._load_name = plugin.NAME
        options_of_it = yaml.safe_load(vagrant_lab.DOCUMENTATION)["options"]
        config.initialize_plugin_configuration_definitions("inventory", plugin.NAME, options_of_it)
        assert plugin.verify_file(str(file))
        data = InventoryData()
        plugin.parse(data, DataLoader(), str(file))
        data.reconcile_inventory()
        return data

    return read


def test_running_machines_are_in_their_groups(lab: Callable[..., InventoryData]) -> None:
    fake = FakeVagrant({"cloud": "running", "edge1": "running"})
    data = lab(fake, control_plane="edgesite")
    groups = data.get_groups_dict()
    assert (groups["cloud"], groups["edge"]) == (["cloud"], ["edge1"])
    assert fake.asked == [None]


def test_the_address_is_the_topology_s_and_never_that_of_ssh(lab: Callable[..., InventoryData]) -> None:
    data = lab(FakeVagrant({"cloud": "running", "edge1": "running"}), control_plane="edgesite")
    variables = data.hosts["edge1"].get_vars()
    assert variables["edgelab_node_ip"] == "192.168.56.11"
    assert (variables["ansible_host"], variables["ansible_port"]) == ("127.0.0.1", 2201)
    assert variables["ansible_ssh_private_key_file"] == "/keys/edge1 one"
    assert "StrictHostKeyChecking=no" in variables["ansible_ssh_common_args"]


@pytest.mark.parametrize("state", ["poweroff", "not_created", "shutoff", "saved"])
def test_what_does_not_run_is_left_out_and_its_group_stays(
    lab: Callable[..., InventoryData], state: str
) -> None:
    fake = FakeVagrant({"cloud": state, "edge1": "running"})
    groups = lab(fake, control_plane="edgesite").get_groups_dict()
    assert (groups["cloud"], groups["edge"]) == ([], ["edge1"])
    assert fake.asked == ["edge1"]


def test_a_missing_python_package_is_named(lab: Callable[..., InventoryData]) -> None:
    with pytest.raises(AnsibleParserError, match="python-vagrant is missing"):
        lab(None)


def test_a_missing_vagrant_is_named(
    lab: Callable[..., InventoryData], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeVagrant({})
    monkeypatch.setattr(fake, "get_vagrant_executable", lambda: None)
    with pytest.raises(AnsibleParserError, match="bootstrap --vagrant"):
        lab(fake)


def test_a_vagrant_that_fails_is_named_with_its_directory(
    lab: Callable[..., InventoryData], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = FakeVagrant({})

    def fail() -> list[Status]:
        raise subprocess.CalledProcessError(1, "vagrant status")

    monkeypatch.setattr(fake, "status", fail)
    with pytest.raises(AnsibleParserError, match=str(tmp_path)):
        lab(fake)


class Answering(BaseHTTPRequestHandler):
    """Answers 401, as a registry does before one logs in, or 503."""

    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/broken" else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), name="answering")
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def control_plane(data: InventoryData) -> object:
    return data.groups["all"].get_vars().get("edgelab_control_plane")


def test_auto_is_kubeadm_where_its_sources_answer_and_stays_so(
    lab: Callable[..., InventoryData], server: str, tmp_path: Path
) -> None:
    (tmp_path / ".vagrant/machines/cloud/libvirt").mkdir(parents=True)
    fake = FakeVagrant({"cloud": "running", "edge1": "running"})
    assert control_plane(lab(fake, control_plane_sources=[server])) == "kubeadm"
    assert control_plane(lab(fake, control_plane_sources=["http://127.0.0.1:9/"])) == "kubeadm"


@pytest.mark.parametrize("path", ["/broken", None])
def test_auto_is_edgesite_where_one_source_does_not_answer(
    lab: Callable[..., InventoryData], server: str, path: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = server + path if path else "http://127.0.0.1:9/"
    fake = FakeVagrant({"cloud": "running", "edge1": "running"})
    assert control_plane(lab(fake, control_plane_sources=[server, broken])) == "edgesite"
    told = "".join(capsys.readouterr().err.split())
    assert broken in told
    assert "control_plane:kubeadm" in told


def test_containers_get_edgesite_and_a_stated_wish_is_kept(lab: Callable[..., InventoryData]) -> None:
    fake = FakeVagrant({"cloud": "running", "edge1": "running"}, provider="docker")
    assert control_plane(lab(fake)) == "edgesite"
    assert control_plane(lab(fake, control_plane="kubeadm")) == "kubeadm"


def topology(tmp_path: Path, text: str) -> str:
    file = tmp_path / "topology.yml"
    file.write_text(textwrap.dedent(text))
    with pytest.raises(vagrant_topology.TopologyError) as caught:
        vagrant_topology.load(file)
    return str(caught.value)


def test_the_topology_of_the_checkout_is_sound() -> None:
    nodes = vagrant_topology.load(CHECKOUT / "vagrant" / "topology.yml")
    assert [(node["name"], node["memory"]) for node in nodes] == [("cloud", 2048), ("edge1", 1536)]


def test_all_that_is_wrong_with_a_topology_is_listed_at_once(tmp_path: Path) -> None:
    told = topology(
        tmp_path,
        """
        network: 192.168.56.0/24
        defaults: {cpus: 2, memory: 1024, box: debian/bookworm64}
        nodes:
          - {name: Cloud_1, group: cloud, address: 192.168.57.10}
          - {name: edge1, group: egde, address: 192.168.56.11, memory: 1G}
          - {name: edge1, group: edge, address: 192.168.56.11, ram: 1}
          - {name: edge2, group: edge, address: 192.168.56.1, box: {libvirt: a}}
        """,
    )
    for words in (
        "node Cloud_1: name must be a DNS label",
        "node Cloud_1: address 192.168.57.10 is outside network 192.168.56.0/24",
        "node edge1: group egde must be cloud or edge",
        "node edge1: memory must be a number from 256 on",
        "node edge1: ram is not known",
        "node edge2: address 192.168.56.1 is reserved",
        "node edge2: box must be a name, or names by provider with default",
        "name edge1 belongs to 2 nodes",
        "address 192.168.56.11 belongs to 2 nodes",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "must be a mapping"),
        ("a: [", "it is no YAML"),
        ("nodes: []", "nodes: it must be a list of mappings"),
        ("network: 192.168.56.1/24\nnodes: [{}]", "is no network such as"),
    ],
)
def test_a_topology_of_another_shape_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in topology(tmp_path, text)


def test_a_missing_topology_is_named(tmp_path: Path) -> None:
    with pytest.raises(vagrant_topology.TopologyError, match="EDGELAB_TOPOLOGY"):
        vagrant_topology.load(tmp_path / "none.yml")
