"""A small API server on real sockets and TLS that can misbehave: drop watches, forget history, die."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

COLLECTION = "/api/v1/namespaces/default/configmaps"


def self_signed(directory: Path, host: str = "localhost") -> tuple[bytes, Path]:
    """A certificate (PEM) and a file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / "server.pem"
    path.write_bytes(pem + secret)
    return pem, path


class MisbehavingServer:
    """Config maps of one namespace, a revision log, and switches for what goes wrong."""

    def __init__(self, certificate: Path) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.revision = 100
        self.log: list[tuple[int, str, dict[str, Any]]] = []
        self.oldest = 100
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.lists = 0
        self.answer: web.Response | None = None
        """Given instead of the next list, once."""
        self.silent = False
        self.port = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._runner: web.AppRunner | None = None
        self._drop = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get(COLLECTION, self._collection)
        app.router.add_route("*", "/{rest:.*}", self._other)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.drop_watches()
        assert self._runner is not None
        await self._runner.cleanup()

    def put(self, name: str, **data: str) -> dict[str, Any]:
        old = self.objects.get(name)
        obj = {
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": old["metadata"]["uid"] if old else f"uid-{self.revision}",
            },
            "data": data,
        }
        self._record("MODIFIED" if old else "ADDED", obj)
        self.objects[name] = obj
        return obj

    def remove(self, name: str) -> None:
        self._record("DELETED", {**self.objects.pop(name)})

    def forget(self) -> None:
        """Compact: a watch from an earlier revision is answered with 410."""
        self.log.clear()
        self.revision += 1
        self.oldest = self.revision

    def drop_watches(self) -> None:
        self._drop.set()
        self._drop = asyncio.Event()
        self._changed.set()

    def _record(self, kind: str, obj: dict[str, Any]) -> None:
        self.revision += 1
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(self.revision)}
        self.log.append((self.revision, kind, obj))
        self._changed.set()

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if "watch" in request.query:
            return await self._watch(request)
        self.lists += 1
        if self.answer is not None:
            answer, self.answer = self.answer, None
            return answer
        body = {
            "kind": "ConfigMapList",
            "metadata": {"resourceVersion": str(self.revision)},
            "items": list(self.objects.values()),
        }
        return web.json_response(body)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        version, drop = int(request.query["resourceVersion"]), self._drop
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if version < self.oldest:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await self._write(response, {"type": "ERROR", "object": status})
            return response
        while not drop.is_set():
            self._changed.clear()
            for revision, kind, obj in [entry for entry in self.log if entry[0] > version]:
                version = revision
                if not self.silent:
                    await self._write(response, {"type": kind, "object": obj})
            await self._changed.wait()
        assert request.transport is not None
        request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, event: dict[str, Any]) -> None:
        data = json.dumps(event).encode() + b"\n"
        await response.write(data[:7])
        await response.write(data[7:])

    async def _other(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        body = await request.read()
        self.bodies.append(json.loads(body) if body else None)
        if request.path.endswith("/page"):
            return web.Response(status=502, text="<h1>Bad gateway</h1>\nmore")
        if request.path.endswith("/missing"):
            status = {
                "kind": "Status",
                "reason": "NotFound",
                "code": 404,
                "message": 'configmaps "missing" not found',
            }
            return web.json_response(status, status=404)
        if request.path.endswith("/slow"):
            await asyncio.sleep(30)
        return web.json_response({"kind": "Echo", "metadata": {"name": "echo"}})
