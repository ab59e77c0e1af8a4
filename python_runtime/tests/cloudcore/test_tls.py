"""What CloudHub's listeners show."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from edgelab.cloudcore.cloudhub.pki import Pki
from edgelab.cloudcore.cloudhub.tls import server_context
from edgelab.identity.ca import CertificateAuthority, KeyPair


def certificates(context: ssl.SSLContext) -> Iterator[bytes]:
    """The chain in the server's first flight, which TLS 1.2 sends in clear text (RFC 5246, 7.4.2)."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    to_server, to_client, unused = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client.wrap_bio(unused, to_server).do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(to_server, to_client, server_side=True).do_handshake()
    flight, handshake = to_client.read(), b""
    while flight:
        end = 5 + int.from_bytes(flight[3:5])
        handshake, flight = handshake + flight[5:end], flight[end:]
    while handshake[0] != 11:  # Certificate
        handshake = handshake[4 + int.from_bytes(handshake[1:4]) :]
    chain = handshake[7 : 7 + int.from_bytes(handshake[4:7])]
    while chain:
        end = 3 + int.from_bytes(chain[:3])
        yield chain[3:end]
        chain = chain[end:]


def der(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.cert_pem.decode())


def test_the_server_shows_its_certificate_and_its_authority() -> None:
    ca = CertificateAuthority.create("KubeEdge")
    pair = ca.issue(common_name="KubeEdge", ip_addresses=["127.0.0.1"], server=True)
    context = server_context(Pki(ca, pair), client_certificate=ssl.CERT_REQUIRED)
    assert list(certificates(context)) == [der(pair), ca.cert_der]
    assert [found["subject"] for found in context.get_ca_certs()] == [((("commonName", "KubeEdge"),),)]


def test_a_certificate_of_somebody_else_is_shown_alone() -> None:
    ca, other = CertificateAuthority.create("KubeEdge"), CertificateAuthority.create("Company")
    pair = other.issue(common_name="cloud", dns_names=["cloud.example.com"], server=True)
    context = server_context(Pki(ca, pair), client_certificate=ssl.CERT_REQUIRED)
    assert list(certificates(context)) == [der(pair)]


def test_so_is_one_whose_clients_are_of_other_authorities() -> None:
    ca, clients = CertificateAuthority.create("KubeEdge"), CertificateAuthority.create("kubernetes")
    pair = ca.issue(common_name="KubeEdge", ip_addresses=["127.0.0.1"], server=True)
    pem = clients.cert_pem.decode()
    context = server_context(Pki(ca, pair), client_certificate=ssl.CERT_OPTIONAL, clients=pem)
    assert list(certificates(context)) == [der(pair)]
