"""`keadm diagnose install`: whether this host can join, before `keadm join` is run."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from dataclasses import dataclass, field

from edgelab.keadm.diagnose_findings import Finding, failed, ok, unknown
from edgelab.keadm.diagnose_node import Now, utc_now
from edgelab.keadm.diagnose_runtime import READY
from edgelab.keadm.diagnose_tunnel import CODE as TUNNEL
from edgelab.keadm.diagnose_tunnel import expected
from edgelab.keadm.joining import TUNNEL_PORT

NAME, RESOLVES, PORTS, CA, TOKEN = (
    "HOST-NAME",
    "EDGE-CLOUD-NAME",
    "EDGE-CLOUD-PORTS",
    "EDGE-CLOUD-CA",
    "EDGE-TOKEN",
)
CONNECT_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Request:
    """How the host is to join; without a token the checks of it are left out."""

    host: str
    port: int
    certport: int
    node: str
    token: str = field(repr=False)
    runtime: str


def diagnose(request: Request, now: Now = utc_now) -> list[Finding]:
    """All findings."""
    findings = [name(request.node), *cloud(request)]
    findings += token(request, now()) if request.token else []
    return [*findings, runtime(request.runtime)]


def name(node: str) -> Finding:
    """The node's name."""
    from edgelab.settings.edgecore import NODE_NAME

    if NODE_NAME.fullmatch(node) and len(node) <= 253:
        return ok(NAME, f"{node} is a node name")
    return failed(NAME, f"{node!r} is no DNS name", "--edgenode-name with a-z, 0-9 and '-'; hostnamectl")


def cloud(request: Request) -> list[Finding]:
    """The cloud's name and ports."""
    try:
        socket.getaddrinfo(request.host, None)
    except OSError as error:
        fix = "correct --cloudcore-ipport, the DNS server, or /etc/hosts"
        lost = failed(RESOLVES, f"{request.host} does not resolve: {error.strerror}", fix)
        return [lost, *unknown((PORTS, TUNNEL), "the name does not resolve")]
    findings = [ok(RESOLVES, f"{request.host} resolves")]
    for port in (request.port, request.certport):
        try:
            socket.create_connection((request.host, port), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            fix = "on the cloud host `systemctl status cloudcore` and its firewall"
            findings.append(failed(PORTS, f"no connection to {request.host}: {error}", fix, str(port)))
        else:
            findings.append(ok(PORTS, f"{request.host} answers", str(port)))
    return [*findings, expected(request.host, TUNNEL_PORT)]


def token(request: Request, now: dt.datetime) -> list[Finding]:
    """The token's end, and whether CloudCore's CA is the one that it pins."""
    from edgelab.identity.token import ca_hash, expiry, split

    fresh = "fetch a new one: `keadm gettoken` on the cloud host"
    end = expiry(request.token)
    if end is None:
        return [
            failed(TOKEN, "is no join token", fresh),
            *unknown((CA,), "there is no token that names the CA"),
        ]
    state = (
        failed(TOKEN, f"expired on {end:%Y-%m-%d %H:%M} UTC", fresh)
        if end <= now
        else ok(TOKEN, f"is good for {(end - now) / dt.timedelta(hours=1):.1f} hours more")
    )
    shown = authority(request.host, request.certport)
    if shown is None:
        return [state, *unknown((CA,), "CloudCore does not hand out its CA")]
    if ca_hash(shown) == split(request.token).ca_hash:
        return [state, ok(CA, "CloudCore has the CA that the token names")]
    return [state, failed(CA, "CloudCore has another CA than the token names", f"another cloud? {fresh}")]


def authority(host: str, port: int) -> bytes | None:
    """The CA that CloudCore hands out, DER; None when it does not."""
    import http.client

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the token pins what arrives
    connection = http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=context)
    try:
        connection.request("GET", "/ca.crt")
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def runtime(endpoint: str) -> Finding:
    """The container runtime answers."""
    from edgelab.cri.choice import connect
    from edgelab.cri.errors import CriError, RuntimeUnreachable

    async def ask() -> str:
        client = connect(endpoint, deadline=CONNECT_SECONDS)
        try:
            return (await client.readiness()).problem
        finally:
            client.close()

    fix = "install and start containerd with a CNI configuration (roles containerd and cni)"
    try:
        problem = asyncio.run(ask())
    except (RuntimeUnreachable, CriError, TimeoutError) as error:
        return failed(READY, str(error), fix)
    return failed(READY, problem, fix) if problem else ok(READY, "runtime and network are ready")
