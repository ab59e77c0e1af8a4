"""The certificate with which MetaServer serves HTTPS: asked of the cluster by a CertificateSigningRequest.

Stores: key, certificate and the cluster's CA below `/etc/kubeedge/pki/metaserver`. Sends: the request, and
the question for its certificate, through CloudCore. Without the cloud: the present certificate serves on; a
node that has none waits.
Facts: KubeEdge `edge/pkg/metamanager/metaserver/certificate` (docs/reference/metaserver.md).
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import logging
import os
import ssl
import uuid
from pathlib import Path
from typing import Any, NoReturn

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Unreachable
from edgelab.edgecore.children import identity
from edgelab.edgecore.edgehub import certificate
from edgelab.edgecore.interfaces import Hub, NoAnswer, Offline, RemoteError
from edgelab.edgecore.metamanager import answers
from edgelab.protocol import message as wire
from edgelab.protocol import resource
from edgelab.protocol.message import Message

log = logging.getLogger(__name__)

DIRECTORY = Path("/etc/kubeedge/pki/metaserver")
SIGNER = "kubernetes.io/kubelet-serving"
USAGES = ["digital signature", "server auth"]
DEADLINE = 20.0
SIGNED_WITHIN = 120.0
"""Seconds that the cluster may take to sign; then a new request is made."""
LOOK = 3600.0
"""Seconds between looks whether the certificate has to be renewed."""
RENEW_AT = 0.8
"""Part of its life after which a certificate is renewed."""


class ServingCertificate:
    """A module part: `context` serves once `ready` is set, and takes each new certificate."""

    def __init__(self, hub: Hub, node: str, addresses: list[str], directory: Path, clock: Clock) -> None:
        self._hub = hub
        self._node = node
        self._addresses = addresses
        self._clock = clock
        self._directory = directory
        self._cert, self._key = directory / "metaserver-current.pem", directory / "metaserver-current.key"
        self._ca = directory / "ca.crt"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.ready = asyncio.Event()

    async def run(self) -> NoReturn:
        """Keep a good certificate for ever."""
        waits = delays(1.0, 60.0)
        told = ""
        while True:
            if self._good():
                self._load()
                waits = delays(1.0, 60.0)
                await self._clock.sleep(LOOK)
                continue
            try:
                await self._obtain()
            except (Offline, NoAnswer, RemoteError, Unreachable, OSError) as error:
                if self.ready.is_set() is False and self._usable():
                    self._load()
                if str(error) != told:
                    told = str(error)
                    log.warning("no new certificate for MetaServer yet: %s", error)
                await self._clock.sleep(next(waits))

    def _usable(self) -> bool:
        found = certificate.read(self._cert)
        return found is not None and self._key.exists() and found.not_after > self._clock.now()

    def _good(self) -> bool:
        found = certificate.read(self._cert)
        if found is None or not self._usable() or found.common_name != f"system:node:{self._node}":
            return False
        return self._clock.now() < found.not_before + (found.not_after - found.not_before) * RENEW_AT

    def _load(self) -> None:
        self.context.load_cert_chain(self._cert, self._key)
        self.ready.set()

    async def _obtain(self) -> None:
        """Ask for a certificate and wait for it. Raises whatever keeps it from coming."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._fetch_ca()
        key = self._key.with_suffix(".key.new")
        addresses = [part for address in self._addresses for part in ("--ip", address)]
        pem = await identity("request", "--node", self._node, *addresses, "--key-file", str(key))
        name = f"metaserver-{self._node}-{uuid.uuid4().hex[:10]}"
        where = resource.build(None, "certificatesigningrequest", name)
        spec = {
            "request": base64.b64encode(pem.encode()).decode(),
            "signerName": SIGNER,
            "usages": USAGES,
        }
        answers.wrapped(await self._ask("insert", where, {"metadata": {"name": name}, "spec": spec}))
        signed = await self._signed(where)
        replace(self._cert, signed)
        os.replace(key, self._key)
        log.info("MetaServer has a new serving certificate, by request %s", name)

    async def _signed(self, where: str) -> bytes:
        end = self._clock.now() + dt.timedelta(seconds=SIGNED_WITHIN)
        while self._clock.now() < end:
            status = _object(await self._ask("query", where, None)).get("status") or {}
            if status.get("certificate"):
                return base64.b64decode(status["certificate"])
            for condition in status.get("conditions") or []:
                if condition.get("type") in ("Denied", "Failed"):
                    raise RemoteError(f"the cluster does not sign: {condition.get('message')}")
            await self._clock.sleep(2.0)
        raise Unreachable(
            f"nobody signed {where}; is featureGates.requireAuthorization set in cloudcore.yaml?"
        )

    async def _fetch_ca(self) -> None:
        answer = await self._ask("query", "k8s/ca.crt", None)
        text = answer.value()
        if isinstance(text, str) and "BEGIN CERTIFICATE" in text:
            replace(self._ca, text.encode())

    async def _ask(self, operation: str, where: str, content: Any) -> Message:
        request = wire.new(source="edged", group="meta", operation=operation, resource=where, content=content)
        return await self._hub.request(request, DEADLINE)


def _object(answer: Message) -> dict[str, Any]:
    """A CertificateSigningRequest, raw or as an ObjectResp."""
    found = answers.plain(answer)
    return answers.wrapped(answer) if "Object" in found else found


def replace(path: Path, data: bytes) -> None:
    """Write a file whole. Raises OSError."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    os.replace(new, path)
