"""The Vagrantfile: valid for every provider, and its topology judged as the inventory plugin judges it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from plugins.plugin_utils import vagrant_topology

CHECKOUT = Path(__file__).resolve().parents[2]
NODES = [
    {"name": "cloud", "group": "cloud", "address": "192.168.56.10"},
    {"name": "edge1", "group": "edge", "address": "192.168.56.11"},
]
GOOD = {
    "network": "192.168.56.0/24",
    "defaults": {"cpus": 2, "memory": 1024, "box": "debian/bookworm64"},
    "nodes": NODES,
}


def vagrant(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["vagrant", *words],
        cwd=CHECKOUT,
        env={**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_blocks_of_all_providers_are_valid(tmp_path: Path) -> None:
    done = vagrant("validate", "--ignore-provider", VAGRANT_DOTFILE_PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


def test_a_wrong_topology_ends_vagrant_with_one_clear_message(tmp_path: Path) -> None:
    file = tmp_path / "topology.yml"
    file.write_text(yaml.safe_dump({**GOOD, "nodes": NODES[:1]}))
    done = vagrant("status", EDGELAB_TOPOLOGY=str(file), VAGRANT_DOTFILE_PATH=str(tmp_path / "dot"))
    assert done.returncode != 0
    assert f"{file} cannot be used:\n  group edge has no node: name at least one" in done.stderr
    assert ".rb:" not in done.stderr


def node(**changes: object) -> dict[str, object]:
    return {**GOOD, "nodes": [NODES[0], {**NODES[1], **changes}]}


WRONG: list[object] = [
    [],
    {"nodes": []},
    {**GOOD, "network": "192.168.56.1/24"},
    {**GOOD, "network": "192.168.56.0"},
    {**GOOD, "network": "300.0.0.0/24"},
    {**GOOD, "network": "10.0.0.0/31"},
    {**GOOD, "networks": 1},
    {**GOOD, "defaults": []},
    {**GOOD, "defaults": {"cpu": 1}},
    {**GOOD, "nodes": [NODES[0], 1]},
    {**GOOD, "nodes": NODES[1:]},
    {**GOOD, "nodes": [*NODES, NODES[1]]},
    node(name="Edge_1"),
    node(name="edge1\n"),
    node(name=None),
    node(group="egde"),
    node(address="192.168.57.11"),
    node(address="192.168.56.1"),
    node(address="192.168.56.255"),
    node(address="192.168.56.300"),
    node(address=None),
    node(memory="1G"),
    node(memory=True),
    node(cpus=0),
    node(ram=1),
    node(box={"libvirt": "a"}),
    node(box={"default": "a", "hyperv": "b"}),
    node(box=""),
]


@pytest.mark.parametrize("document", WRONG, ids=range(len(WRONG)))
def test_both_readers_refuse_a_topology_with_the_same_words(tmp_path: Path, document: object) -> None:
    file = tmp_path / "topology.yml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(vagrant_topology.TopologyError) as caught:
        vagrant_topology.load(file)
    assert ruby(file) == str(caught.value)


@pytest.mark.parametrize("document", [GOOD, node(box={"default": "a", "libvirt": "b"}), node(cpus=4)])
def test_both_readers_take_a_good_topology(tmp_path: Path, document: object) -> None:
    file = tmp_path / "topology.yml"
    file.write_text(yaml.safe_dump(document))
    names = [entry["name"] for entry in vagrant_topology.load(file)]
    assert ruby(file) == " ".join(names)


def ruby(file: Path, asked: str = ".nodes.map(&:name).join(' ')") -> str:
    """The names of the nodes as the Vagrantfile's reader sees them, or why it refuses the file."""
    program = f"""
      begin
        print Edgelab::Topology.new(ARGV[0]){asked}
      rescue Edgelab::Problem => e
        print e.message
      end
    """
    library = CHECKOUT / "vagrant" / "lib" / "topology.rb"
    done = subprocess.run(
        ["ruby", "-r", str(library), "-e", program, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_virtualbox_s_own_limit_is_told_by_the_file_and_network(tmp_path: Path) -> None:
    file = tmp_path / "topology.yml"
    moved = [{**entry, "address": f"10.1.2.{at}"} for at, entry in enumerate(NODES, 10)]
    file.write_text(yaml.safe_dump({**GOOD, "network": "10.1.2.0/24", "nodes": moved}))
    assert "network 10.1.2.0/24 is outside 192.168.56.0/21" in ruby(file, ".check_virtualbox")
