"""The simulator of the benchmarks against a CloudCore: what it measures is what nodes do."""

from __future__ import annotations

from pathlib import Path

from benchmarks.simulator.fleet import Fleet
from benchmarks.simulator.node import Behaviour
from tests.cloudcore.cloud import eventually, running

from edgelab.kube.resources import LEASES, PODS


async def test_simulated_nodes_register_keep_leases_run_pods_and_come_back(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        fleet = Fleet(f"127.0.0.1:{cloud.port}", cloud.pki.ca, Behaviour(runs_pods=True), prefix="edge")
        async with fleet.alive():
            await fleet.connect(fleet.add(3))
            await eventually(lambda: fleet.registered == 3)
            await eventually(lambda: len(cloud.api.all(LEASES, "kube-node-lease")) == 3)
            await cloud.pod("web", "edge1")
            await eventually(lambda: "default/pod/web" in fleet.nodes[1].held)
            await eventually(lambda: cloud.api.one(PODS, "web").get("status", {}).get("phase") == "Running")
            next(link for link in fleet.links if link.node.name == "edge1").close()
            await eventually(lambda: fleet.counts["lost"] == 1 and fleet.registered == 3)
        assert fleet.counts["refused"] == 0
