"""MetaServer's certificate: asked for, kept, renewed; and the interface by which pods reach it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from cryptography import x509
from tests.edgecore.edged.samples import HandClock

from edgelab.edgecore.edgehub import certificate
from edgelab.edgecore.interfaces import Offline
from edgelab.edgecore.metamanager.metaserver.serving import ServingCertificate
from edgelab.identity.ca import CertificateAuthority
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

ADDRESSES = ["127.0.0.1", "169.254.30.10"]


class Signer:
    """CloudCore and the cluster behind it: signs what was asked for at the second question."""

    connected = True

    def __init__(self, clock: HandClock) -> None:
        self.ca = CertificateAuthority.create("kubernetes", clock.now)
        self.requests: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.denies = False

    async def request(self, message: Message, deadline: float) -> Message:
        if not self.connected:
            raise Offline("offline")
        operation, name = message.route.operation, message.route.resource.rsplit("/", 1)[1]
        self.asked.append((operation, name))
        if name == "ca.crt":
            return wire.reply(message, self.ca.cert_pem.decode())
        if operation == "insert":
            self.requests[name] = message.object()["spec"]
            return wire.reply(message, {"Object": {"metadata": {"name": name}}, "Err": None})
        return wire.reply(message, {"metadata": {"name": name}, "status": self._status(name)})

    def _status(self, name: str) -> dict[str, Any]:
        if self.denies:
            return {"conditions": [{"type": "Denied", "message": "not you"}]}
        if self.asked.count(("query", name)) < 2:
            return {}
        csr = base64.b64decode(self.requests[name]["request"])
        der = self.ca.sign(csr, "system:node:edge1", "system:nodes", (1,), keep_names=True)
        pem = ssl.DER_cert_to_PEM_cert(der)
        return {"certificate": base64.b64encode(pem.encode()).decode()}

    async def send(self, message: Message) -> None:
        raise AssertionError(message)

    def on_connection(self, listener: Any) -> None:
        raise AssertionError(listener)


class SlowClock(HandClock):
    """One whose long sleeps wait for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.tick = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds > 60:
            await self.tick.wait()
            self.tick.clear()
        await super().sleep(seconds)


@contextlib.asynccontextmanager
async def kept(serving: ServingCertificate) -> AsyncIterator[None]:
    task = asyncio.create_task(serving.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(check: Any) -> None:
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.01)


async def test_a_certificate_is_asked_for_and_renewed_in_time(tmp_path: Path) -> None:
    clock = SlowClock()
    hub = Signer(clock)
    serving = ServingCertificate(hub, "edge1", ADDRESSES, tmp_path / "pki", clock)
    async with kept(serving):
        async with asyncio.timeout(30):
            await serving.ready.wait()
        spec = next(iter(hub.requests.values()))
        assert spec["signerName"] == "kubernetes.io/kubelet-serving"
        assert spec["usages"] == ["digital signature", "server auth"]
        csr = x509.load_pem_x509_csr(base64.b64decode(spec["request"]))
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == ADDRESSES
        current = tmp_path / "pki" / "metaserver-current.pem"
        first = current.read_bytes()
        clock.tick.set()
        await until(lambda: not clock.tick.is_set())
        assert current.read_bytes() == first
        clock.moment += dt.timedelta(days=300).total_seconds()
        clock.tick.set()
        await until(lambda: current.read_bytes() != first and len(hub.requests) == 2)
        found = certificate.read(current)
        assert found is not None
        assert found.not_after > clock.now() + dt.timedelta(days=300)


async def test_a_present_certificate_serves_while_the_cloud_is_away(tmp_path: Path) -> None:
    clock = SlowClock()
    hub = Signer(clock)
    serving = ServingCertificate(hub, "edge1", ADDRESSES, tmp_path, clock)
    async with kept(serving), asyncio.timeout(30):
        await serving.ready.wait()
    hub.connected = False
    for days in (10, 340):  # as good as new; due for renewal, but good
        clock.moment += dt.timedelta(days=days).total_seconds()
        later = ServingCertificate(hub, "edge1", ADDRESSES, tmp_path, clock)
        async with kept(later), asyncio.timeout(30):
            await later.ready.wait()


async def test_a_request_that_is_denied_is_told_and_made_again(tmp_path: Path, caplog: Any) -> None:
    clock = SlowClock()
    hub = Signer(clock)
    hub.denies = True
    serving = ServingCertificate(hub, "edge1", ADDRESSES, tmp_path, clock)
    async with kept(serving):
        await until(lambda: len(hub.requests) >= 2)
        assert "the cluster does not sign: not you" in caplog.text
        assert not serving.ready.is_set()
        hub.denies = False
        async with asyncio.timeout(30):
            await serving.ready.wait()


async def test_the_interface_for_pods_is_made_once() -> None:
    """In a network of its own; on kernels without dummy interfaces it is the loopback interface."""
    code = (
        "import asyncio, subprocess\n"
        "from edgelab.edgecore.metamanager.metaserver import dummy\n"
        "for _ in range(2): asyncio.run(dummy.ensure('169.254.30.10'))\n"
        "print(subprocess.check_output(['ip', '-o', 'addr', 'show'], text=True))\n"
    )
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--net", "--user", "--map-root-user", sys.executable, "-c", code),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    lines = [line for line in output.decode().splitlines() if "169.254.30.10/32" in line]
    assert [line.split()[1] in ("edge-dummy0", "lo") for line in lines] == [True]
