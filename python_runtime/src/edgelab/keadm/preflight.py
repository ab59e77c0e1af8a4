"""What has to be so before a host can join; each check names the fix (KubeEdge `keadm join`, and more)."""

from __future__ import annotations

import datetime as dt
import email.utils
import http.client
import platform
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgelab.daemon.errors import Fatal
from edgelab.daemon.extras import require
from edgelab.keadm.checks import endpoint
from edgelab.keadm.report import Failure

MACHINES = ("x86_64", "aarch64", "armv7l", "armv8l")
"""Machines that wheels are locked for; armv8l is a 32-bit program on a 64-bit board."""
SKEW = dt.timedelta(minutes=5)
CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """What CloudCore's HTTPS port shows without being trusted: its certificate, its CA, its clock."""

    certificate: bytes
    authority: bytes | None
    date: dt.datetime | None
    node_status: int


def gather(checks: Iterable[Callable[[], None]]) -> None:
    """Make all checks. Raises one Failure that names everything that is in the way."""
    failures = []
    for check in checks:
        try:
            check()
        except Failure as failure:
            failures.append(failure)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise Failure("; ".join(map(str, failures)), problems=[str(failure) for failure in failures])


def architecture(machine: str = "") -> None:
    """Refuse a machine that there are no wheels for. Raises Failure."""
    found = machine or platform.machine()
    if found not in MACHINES:
        raise Failure(f"this host is a {found}: edgelab is built for {', '.join(MACHINES[:3])}")


def own_address(address: str) -> None:
    """Refuse an address that this host does not have. Raises Failure."""
    if not address:
        return
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError as error:
            raise Failure(f"--node-ip {address}: this host has no such address ({error.strerror})") from None


def runtime(path: Path) -> None:
    """Refuse a host without a container runtime. Raises Failure."""
    if not path.is_socket():
        raise Failure(
            f"no container runtime at {path}: install and start containerd (apt install containerd), or"
            " name its"
            " socket with --remote-runtime-endpoint"
        )


def cgroups(wanted: str, found: str, config: Path) -> None:
    """Refuse a cgroup driver that is not the runtime's. Raises Failure."""
    if wanted and wanted not in ("cgroupfs", "systemd"):
        raise Failure(f"--cgroupdriver {wanted}: expected cgroupfs or systemd")
    if wanted and found and wanted != found:
        raise Failure(
            f"--cgroupdriver {wanted}, but the container runtime uses {found} ({config}):"
            " leave"
            " --cgroupdriver out, or change that file and restart containerd"
        )


def port(host: str, number: int, what: str) -> None:
    """Refuse a port that nobody answers on. Raises Failure."""
    try:
        socket.create_connection((host, number), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise Failure(
            f"{what} {endpoint(host, number)} is closed ({error}): is CloudCore running there (systemctl"
            " status"
            " cloudcore), does a firewall let the port through, is the address right?"
        ) from None


def quic() -> None:
    """Refuse QUIC without its package. Raises Failure."""
    try:
        require("aioquic", "--hub-protocol quic")
    except Fatal as error:
        raise Failure(str(error)) from None


def ask(host: str, certport: int, node: str) -> Cloud:
    """Ask CloudCore, unauthenticated as KubeEdge's keadm does. Raises Failure when it does not answer."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the CA arrives with the join; the token then pins it
    where = endpoint(host, certport)
    connection = http.client.HTTPSConnection(where, timeout=10, context=context)
    try:
        connection.connect()
        sock = connection.sock
        certificate = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
        status, date, _ = _get(connection, f"/node/{node}")
        found, _, body = _get(connection, "/ca.crt")
    except (OSError, http.client.HTTPException) as error:
        raise Failure(
            f"CloudCore does not answer at https://{where} ({error}): is it running there, does a firewall"
            " let"
            " the port through, is --certport right?"
        ) from error
    finally:
        connection.close()
    return Cloud(certificate or b"", body if found == 200 else None, date, status)


def _get(connection: http.client.HTTPSConnection, path: str) -> tuple[int, dt.datetime | None, bytes]:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    try:
        date = email.utils.parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        date = None
    return answer.status, date, body


def name_is_free(cloud: Cloud, node: str, where: str) -> None:
    """Refuse a name that another node has. Raises Failure."""
    if cloud.node_status == 200:
        raise Failure(
            f"a node {node!r} exists already: choose another name (--edgenode-name), delete it first"
            f" (kubectl delete node {node}), or add --replace if its machine is gone and this one takes its"
            " place"
        )
    if cloud.node_status != 404:
        raise Failure(f"https://{where}/node/{node} answered {cloud.node_status} instead of 404")


def clock(cloud: Cloud, now: dt.datetime) -> None:
    """Refuse a clock with which certificates and tokens would not be good. Raises Failure."""
    if cloud.date and abs(now - cloud.date) > SKEW:
        minutes = (now - cloud.date) / dt.timedelta(minutes=1)
        side = "ahead of" if minutes > 0 else "behind"
        raise Failure(
            f"this host's clock is {abs(minutes):.0f} minutes {side} CloudCore's: set it"
            " (timedatectl set-ntp true) before joining"
        )


def named(cloud: Cloud, host: str) -> None:
    """Refuse an address that CloudCore's certificate does not name. Raises Failure."""
    from edgelab.identity.ca import load_certificate
    from edgelab.identity.inspect import alternative_names, missing

    try:
        certificate = load_certificate(cloud.certificate)
    except ValueError:
        return  # whoever cannot show one will be refused with TLS's own words
    is_address = ":" in host or host.replace(".", "").isdigit()
    if missing(certificate, [host] if is_address else [], [] if is_address else [host]):
        addresses, names = alternative_names(certificate)
        listed = ", ".join([*addresses, *names]) or "nothing"
        flag = "--address" if is_address else "--dns-name"
        raise Failure(
            f"CloudCore's certificate does not name {host}, only {listed}: join with one of these, or on the"
            f" cloud host `keadm cert ensure {flag} {host}` and `systemctl restart cloudcore`"
        )


def same_authority(cloud: Cloud, token: str, ca_file: Path) -> None:
    """Refuse a token, or a certificate that lies here, of another cloud. Raises Failure."""
    from edgelab.identity.ca import load_certificate
    from edgelab.identity.token import TokenError, ca_hash, split

    if cloud.authority is None:
        return
    try:
        if token and split(token).ca_hash != ca_hash(cloud.authority):
            raise Failure("the token is of another cloud: take one there, with `keadm gettoken`")
    except TokenError as error:
        raise Failure(f"the token is none of CloudCore's: {error}") from None
    if ca_file.exists():
        from cryptography.hazmat.primitives.serialization import Encoding

        try:
            own = load_certificate(ca_file.read_bytes()).public_bytes(Encoding.DER)
        except ValueError:
            return
        if ca_hash(own) != ca_hash(cloud.authority):
            raise Failure(f"{ca_file} is of another cloud: `keadm reset edge` first, then join this one")
