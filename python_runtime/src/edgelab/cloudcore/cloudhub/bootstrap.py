"""The HTTPS listener for joining (10002): /ca.crt, /edge.crt, /node/<name>.

Facts: KubeEdge `cloud/pkg/cloudhub/servers/httpserver` (docs/reference/protocol.md); certificates and
requests are DER, and the signing request is the *body of a GET*.
Stricter than the original: the name in the request must be the header's, and be a node name.
Beyond it: a token may be for one node and one use (`edgelab.cloudcore.cloudhub.tokens`). It is spent when
the certificate is made and before it is given out.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import socket
import ssl
from collections.abc import Callable

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edgelab.cloudcore.cloudhub.peer import Peer, peer_in
from edgelab.cloudcore.cloudhub.pki import NODES_GROUP, USER_PREFIX
from edgelab.cloudcore.cloudhub.tokens import TokenLedger
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable
from edgelab.identity import token
from edgelab.identity.ca import (
    CLIENT,
    SERVER,
    CertificateAuthority,
    CertificateError,
    RequestError,
    subject_of,
)
from edgelab.kube.interface import KubeApi
from edgelab.kube.resources import NODES
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.bootstrap")

CSR_LIMIT = 1 << 20
NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
LEGACY = ("kubeedge.io", "KubeEdge")
"""Common name and organization of edge certificates of old releases; accepted for renewal."""


class BootstrapServer:
    """A module: serves on `sock` until cancelled.

    `on_enrolled(node)` is called when a node has joined by token: it may be a new machine of that name.
    """

    name = "cloudhub/https"

    def __init__(
        self,
        api: KubeApi,
        ca: CertificateAuthority,
        sock: socket.socket,
        tls: ssl.SSLContext,
        *,
        certificate_days: int,
        on_enrolled: Callable[[str], None],
        revoked: Callable[[Peer], str | None] = lambda peer: None,
        namespace: str = "kubeedge",
        clock: Clock = SYSTEM,
    ) -> None:
        self._api = api
        self._ca = ca
        self._sock = sock
        self._tls = tls
        self._days = certificate_days
        self._on_enrolled = on_enrolled
        self._revoked = revoked
        self._clock = clock
        self._ledger = TokenLedger(api, namespace, clock)
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        app = web.Application(client_max_size=CSR_LIMIT)
        app.add_routes(
            [
                web.get("/ca.crt", self._ca_certificate),
                web.get("/edge.crt", self._edge_certificate),
                web.get("/node/{name}", self._node),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, self._sock, ssl_context=self._tls).start()
            self.listening.set()
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()

    async def _ca_certificate(self, _request: web.Request) -> web.Response:
        return _der(self._ca.cert_der)

    async def _node(self, request: web.Request) -> web.Response:
        try:
            await self._api.get(NODES, request.match_info["name"])
        except ApiError as error:
            if error.code == 404:
                return web.Response(status=404, text="Node not found")
            return web.Response(status=500, text="Failed to query node information")
        except Unreachable:
            return web.Response(status=500, text="Failed to query node information")
        return web.Response(text="Node found")

    async def _edge_certificate(self, request: web.Request) -> web.Response:
        body = await request.read()
        node = request.headers.get("NodeName", "")
        try:
            claims = self._authenticate(request, node)
            node = _wanted_node(body, node)
            der = self._ca.sign(
                body,
                USER_PREFIX + node,
                NODES_GROUP,
                _usages(request.headers.get("ExtKeyUsages", "")),
                self._days,
            )
            if claims is not None and claims.id:
                await self._ledger.spend(claims, node, _key_hash(body))
        except (RequestError, PermissionError, ValueError, ApiError, Unreachable) as error:
            return _refuse(request, node, error)
        log.info("node %s has a new certificate", node)
        if claims is not None:
            self._on_enrolled(node)
        return _der(der)

    def _authenticate(self, request: web.Request, node: str) -> token.Claims | None:
        """By the present certificate (None), or by a token: its claims. Raises `_Unauthorized`."""
        tls = request.transport.get_extra_info("ssl_object") if request.transport else None
        presented = tls.getpeercert(binary_form=True) if tls else None
        if presented is None:
            return self._check_token(request.headers.get("Authorization", ""))
        try:
            certificate = self._ca.verify_client(presented)
        except CertificateError as error:
            raise _Unauthorized(f"failed to verify edge certificate: {error.x509}") from None
        except ValueError as error:
            raise _Unauthorized(f"failed to verify edge certificate: {error}") from None
        if subject_of(certificate) not in ((USER_PREFIX + node, NODES_GROUP), LEGACY):
            raise _Unauthorized("request node name is not match with the certificate")
        if why := self._revoked(peer_in(certificate)):
            raise _Unauthorized(why)
        return None

    def _check_token(self, header: str) -> token.Claims:
        words = header.split(" ")
        if not header:
            raise _NoToken("token is empty")
        if len(words) != 2:
            raise _NoToken("token cannot be split")
        return token.verify(words[1], self._ca.key_der, self._clock.now())


class _NoToken(token.TokenError):
    """The header Authorization holds none."""


class _Unauthorized(ValueError):
    """The present certificate does not entitle to the one that is wanted."""


def _refuse(request: web.Request, node: str, error: Exception) -> web.Response:
    """401 who the asker is, 403 the name, 503 the API cannot record the token's use now, 500 the request.

    The words before the reason are the original's.
    """
    log.warning("%s asked for a certificate for node %r: %s", request.remote, node, error)
    if isinstance(error, token.TokenError):
        err = "" if isinstance(error, _NoToken) else "err: "
        return web.Response(status=401, text=f"token validation failure, {err}{error}")
    if isinstance(error, _Unauthorized):
        text = f"failed to verify the certificate for edgenode: {node}, err: {error}"
        return web.Response(status=401, text=text)
    if isinstance(error, PermissionError):
        return web.Response(status=403, text=str(error))
    if isinstance(error, ApiError | Unreachable):
        return web.Response(status=503, text="the use of the token cannot be recorded now; try again")
    return web.Response(status=500, text=f"failed to sign certs for edgenode {node}, err: {error}")


def _wanted_node(csr: bytes, node: str) -> str:
    """The node of a request; PermissionError when header and request name different ones."""
    try:
        name, _ = subject_of_request(csr)
    except ValueError as error:
        raise RequestError("the certificate request cannot be read") from error
    node = node or name.removeprefix(USER_PREFIX)
    if not NODE_NAME.fullmatch(node):
        raise PermissionError(f"{node!r} is no node name")
    if name != USER_PREFIX + node:
        raise PermissionError(f"the request is for {name!r}, the header for node {node!r}")
    return node


def _key_hash(csr: bytes) -> str:
    key = x509.load_der_x509_csr(csr).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def subject_of_request(csr: bytes) -> tuple[str, str]:
    """(common name, organization) of a DER signing request. Raises ValueError."""
    request = x509.load_der_x509_csr(csr)
    found = []
    for oid in (x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME):
        values = request.subject.get_attributes_for_oid(oid)
        found.append(str(values[0].value) if values else "")
    return found[0], found[1]


def _usages(text: str) -> list[int]:
    """The header `ExtKeyUsages`: a JSON list of Go's x509.ExtKeyUsage numbers."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    return [number for number in numbers if number in (CLIENT, SERVER)] or [CLIENT]


def _der(data: bytes) -> web.Response:
    return web.Response(body=data, content_type="application/octet-stream")
