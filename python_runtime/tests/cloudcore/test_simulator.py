"""The simulator of the benchmarks against a CloudCore: what it measures is what nodes do."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from benchmarks.simulator.credentials import Trust
from benchmarks.simulator.fleet import Fleet
from benchmarks.simulator.node import Behaviour
from tests.cloudcore.cloud import eventually, running

from edgelab.identity.ca import CertificateAuthority
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


async def test_simulated_nodes_do_not_speak_to_a_server_of_another_authority(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        fleet = Fleet(f"127.0.0.1:{cloud.port}", CertificateAuthority.create("KubeEdge"), Behaviour())
        async with fleet.alive():
            connecting = asyncio.create_task(fleet.connect(fleet.add(1)))
            await eventually(lambda: fleet.counts["failures"] > 0)
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
        assert not fleet.registered


def test_a_certificate_is_checked_against_its_authority() -> None:
    ca = CertificateAuthority.create("KubeEdge")
    trust = Trust(ca)
    for authority, good in ((ca, True), (CertificateAuthority.create("KubeEdge"), False)):
        pem = authority.issue(common_name="KubeEdge", server=True).cert_pem
        certificate = ssl.PEM_cert_to_DER_cert(pem.decode())
        for _ in range(2):
            if good:
                trust.check(certificate)
            else:
                with pytest.raises(ConnectionError, match="not of the authority"):
                    trust.check(certificate)
