"""A certificate that ran out or is refused: the node goes on offline, says so, and joins anew by a token."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path

from tests.cloudcore.cloud import Cloud, running
from tests.edgecore.cloud_peer import Pki, configuration
from tests.edgecore.processes import edgecore

from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import META_TABLES, Store
from edgelab.identity.ca import CertificateAuthority
from edgelab.kube.resources import CONFIG_MAPS


async def joined_before(directory: Path) -> None:
    """A store that knows its Node."""
    node = json.dumps({"metadata": {"name": "edge1", "uid": "n-1"}}).encode()
    async with Store(directory / "edgecore.db", META_TABLES) as store:
        await store.submit([rows.put("null/node/edge1", "node", node)])


def settings(pki: Pki, cloud: Cloud) -> Path:
    return configuration(pki.directory, cloud.port, edgeHub={"httpServer": cloud.https})


async def test_an_expired_certificate_is_replaced_as_soon_as_there_is_a_token(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "edge")
    pki.ca = CertificateAuthority.create("KubeEdge", lambda: dt.datetime.now(dt.UTC) - dt.timedelta(days=400))
    pki.issue_node("edge1", days=365)
    await joined_before(pki.directory)
    async with running(tmp_path) as cloud:
        await cloud.node()
        async with edgecore(settings(pki, cloud)) as process:
            await process.wait_for_line("there is no join token")
            await process.wait_for_line("working offline until then")
            (pki.directory / "bootstrap.conf").write_text(await cloud.token())
            await process.wait_for_line("connected to CloudCore")
            assert process.output().count("there is no join token") == 1


async def test_a_certificate_of_another_cluster_is_replaced_with_the_token(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "edge")
    await joined_before(pki.directory)
    async with running(tmp_path) as cloud:
        await cloud.node()
        (pki.directory / "bootstrap.conf").write_text(await cloud.token())
        async with edgecore(settings(pki, cloud)) as process:
            await process.wait_for_line("joined anew as edge1")
            await process.wait_for_line("connected to CloudCore")


async def test_a_revoked_certificate_is_replaced_with_the_token(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        pki = Pki.create(tmp_path / "edge")
        pki.ca = CertificateAuthority.load(cloud.pki.ca.cert_pem, cloud.pki.ca.key_pem)
        pki.issue_node("edge1", days=365)
        (pki.directory / "rootCA.crt").write_bytes(cloud.pki.ca.cert_pem)
        await joined_before(pki.directory)
        await cloud.node()
        async with edgecore(settings(pki, cloud)) as process:
            await process.wait_for_line("connected to CloudCore")
            moment = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
            (pki.directory / "bootstrap.conf").write_text(await cloud.token())
            revoked = {"metadata": {"name": "edgelab-revoked"}, "data": {"node.edge1": moment.isoformat()}}
            await cloud.api.create(CONFIG_MAPS, revoked, "kubeedge")
            await process.wait_for_line("certificates of node edge1 made before")
            await process.wait_for_line("joined anew as edge1")
            await cloud.api.delete(CONFIG_MAPS, "edgelab-revoked", "kubeedge")
            async with asyncio.timeout(60):
                while process.output().count("connected to CloudCore at") < 2:
                    await asyncio.sleep(0.02)


async def test_a_refused_certificate_without_a_token_names_the_fix_once(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "edge")
    await joined_before(pki.directory)
    async with running(tmp_path) as cloud:
        await cloud.node()
        async with edgecore(settings(pki, cloud)) as process:
            await process.wait_for_line(
                "there is no join token (keadm gettoken) to get another certificate with"
            )
            assert process.child.returncode is None
