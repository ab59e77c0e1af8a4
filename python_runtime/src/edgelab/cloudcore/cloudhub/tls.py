"""TLS of CloudHub's listeners, and the sockets they listen on."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from edgelab.cloudcore.cloudhub.pki import Pki
from edgelab.daemon.errors import Fatal
from edgelab.identity.ca import issued_by, load_certificate

CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
"""For TLS 1.2 peers, as in the original; all server keys are elliptic-curve keys."""


BACKLOG = 4096
"""Connections that may wait to be accepted; Linux takes `net.core.somaxconn`, 4096 too, when that is less.
All nodes of a cloud that starts again come at once, and who finds no room tries again after seconds."""
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for."""


def server_context(
    pki: Pki, *, client_certificate: ssl.VerifyMode, expired_too: bool = False, clients: str = ""
) -> ssl.SSLContext:
    """TLS 1.2 or newer with the server's certificate; clients are verified against the authority.

    `clients`: PEM of other authorities that clients are verified against instead.
    With `expired_too` whoever serves looks at the time itself: to say what is wrong, which TLS cannot.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_verify_locations(cadata=clients or pki.ca.cert_der)
    context.verify_mode = client_certificate
    # Edges never resume a session; two tickets for each connection would cost time and hold its certificate.
    context.num_tickets = 0
    if expired_too:
        context.verify_flags |= NO_CHECK_TIME
    # `ssl` takes keys from files only; this one never reaches a disk.
    descriptor = os.memfd_create("edgelab-server-key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, b"\n".join([*_chain(pki, clients), pki.server.key_pem]))
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def _chain(pki: Pki, clients: str) -> list[bytes]:
    """What the server shows. OpenSSL adds the authority in any case where it is one for clients; when it is
    there already, it is not looked for, and our own certificate not checked, for every connection."""
    own = pki.server.cert_pem
    if clients or not issued_by(load_certificate(own), pki.ca.certificate):
        return [own]
    return [own, pki.ca.cert_pem]


def bind(address: str, port: int, module: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A bound socket, TCP or (SOCK_DGRAM) UDP. Raises Fatal that names port and module."""
    stream = kind == socket.SOCK_STREAM
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    if stream:  # of UDP, two programs would share the port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((address, port))
        if stream:
            # Listening shows a port that is taken at once; connections wait in the backlog until we serve.
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        show = f"ss -l{'t' if stream else 'u'}np sport = :{port}"
        raise Fatal(
            f"port {port}{'' if stream else '/udp'} on {address} {why}: {module} cannot listen;"
            f" stop the other program or change the port (`{show}` shows who has it)"
        ) from None
    return sock
