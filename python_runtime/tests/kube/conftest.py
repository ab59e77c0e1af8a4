from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.kube.server import MisbehavingServer, self_signed

from edgelab.kube.client import HttpClient
from edgelab.kube.kubeconfig import Kubeconfig


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def server(certificate: tuple[bytes, Path]) -> AsyncIterator[MisbehavingServer]:
    server = MisbehavingServer(certificate[1])
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: MisbehavingServer, certificate: tuple[bytes, Path]) -> AsyncIterator[HttpClient]:
    config = Kubeconfig(server=server.url, ca_pem=certificate[0], token="letmein")
    async with HttpClient(config, request_seconds=5) as client:
        yield client
