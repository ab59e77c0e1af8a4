"""The two modules that make the webhooks: the listener, and what tells the API server of it."""

from __future__ import annotations

import ipaddress
import socket
import ssl

from edgelab.cloudcore.cloudhub.pki import Pki
from edgelab.cloudcore.cloudhub.tls import server_context
from edgelab.cloudcore.webhooks import hooks
from edgelab.cloudcore.webhooks.registration import Registration
from edgelab.cloudcore.webhooks.server import WebhookServer
from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Module
from edgelab.kube.interface import KubeApi
from edgelab.settings.cloudcore import CloudCore

CERTIFICATE_DAYS = 3650
"""It is made at every start and never kept, so that it outlives any process and follows every change."""


def modules(settings: CloudCore, api: KubeApi, pki: Pki, sock: socket.socket, clock: Clock) -> list[Module]:
    """The listener on `sock` with a certificate of CloudCore's authority, and its registration."""
    own, namespace = settings.edgelab.webhooks, settings.edgelab.namespace
    host = own.host or next(iter(settings.modules.cloudHub.advertiseAddress), "")
    names = hooks.names(host=host, service=own.service, namespace=namespace)
    addresses = [name for name in names if _is_ip(name)]
    pair = pki.ca.issue(
        common_name=names[0],
        organization="KubeEdge",
        dns_names=[name for name in names if name not in addresses],
        ip_addresses=addresses,
        server=True,
        days=CERTIFICATE_DAYS,
    )
    tls = server_context(Pki(pki.ca, pair), client_certificate=ssl.CERT_NONE)
    port = int(sock.getsockname()[1])
    client = hooks.client_config(
        ca_pem=pki.ca.cert_pem, host=host, port=port, service=own.service, namespace=namespace
    )
    return [
        WebhookServer(api, sock, tls),
        Registration(api, client, conversion=own.conversion, clock=clock),
    ]


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
