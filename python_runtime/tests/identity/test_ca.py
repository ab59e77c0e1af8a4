"""The certificate authority, used the way servers and clients use it."""

import datetime as dt
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edgelab.identity import ca


def request_for(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "whatever")])
    built = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.DER)


def context(
    tmp_path: Path, authority: ca.CertificateAuthority, pair: ca.KeyPair, server: bool
) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    found.load_verify_locations(cadata=authority.cert_pem.decode())
    if server:
        found.verify_mode = ssl.CERT_REQUIRED
    name = tmp_path / ("server" if server else "client")
    name.write_bytes(pair.cert_pem + pair.key_pem)
    found.load_cert_chain(name)
    return found


def test_server_and_client_certificates_work_in_a_mutual_handshake(tmp_path: Path) -> None:
    authority = ca.CertificateAuthority.create("KubeEdge")
    server = authority.issue(
        common_name="KubeEdge", dns_names=["localhost"], ip_addresses=["127.0.0.1"], server=True
    )
    client = authority.issue(common_name="system:node:edge1", organization="system:nodes", client=True)
    ours, theirs = socket.socketpair()
    seen: dict[str, object] = {}

    def serve() -> None:
        with context(tmp_path, authority, server, True).wrap_socket(theirs, server_side=True) as tls:
            seen["peer"] = tls.getpeercert()
            tls.sendall(b"x")

    thread = threading.Thread(target=serve)
    thread.start()
    with context(tmp_path, authority, client, False).wrap_socket(ours, server_hostname="127.0.0.1") as tls:
        assert tls.recv(1) == b"x"
    thread.join()
    assert (("commonName", "system:node:edge1"),) in seen["peer"]["subject"]  # type: ignore[index]


def test_stored_authority_keeps_its_identity_and_token_secret() -> None:
    authority = ca.CertificateAuthority.create("KubeEdge")
    again = ca.CertificateAuthority.load(authority.cert_pem, authority.key_pem)
    assert (again.cert_der, again.key_der) == (authority.cert_der, authority.key_der)
    from_der = ca.CertificateAuthority.load(authority.cert_der, authority.key_der)
    assert from_der.key_pem.startswith(b"-----BEGIN EC PRIVATE KEY-----")


def test_loading_refuses_a_key_of_another_authority() -> None:
    one, two = ca.CertificateAuthority.create("a"), ca.CertificateAuthority.create("b")
    with pytest.raises(ValueError, match="does not belong"):
        ca.CertificateAuthority.load(one.cert_pem, two.key_pem)


def test_signed_request_gets_the_callers_subject_and_backdated_start() -> None:
    now = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
    authority = ca.CertificateAuthority.create("KubeEdge", lambda: now)
    csr = request_for(ec.generate_private_key(ec.SECP256R1()))
    cert = authority.verify_client(authority.sign(csr, "system:node:edge1", "system:nodes", [2], 30))
    assert ca.subject_of(cert) == ("system:node:edge1", "system:nodes")
    assert cert.not_valid_before_utc == now - dt.timedelta(minutes=5)
    assert cert.not_valid_after_utc == now + dt.timedelta(days=30)


@pytest.mark.parametrize("bad", [b"", b"no request", b"-----BEGIN CERTIFICATE REQUEST-----\nxx"])
def test_unreadable_request_is_refused(bad: bytes) -> None:
    with pytest.raises(ca.RequestError):
        ca.CertificateAuthority.create("KubeEdge").sign(bad, "a", "b")


def test_request_with_forged_signature_is_refused() -> None:
    csr = bytearray(request_for(ec.generate_private_key(ec.SECP256R1())))
    csr[-1] ^= 1
    with pytest.raises(ca.RequestError):
        ca.CertificateAuthority.create("KubeEdge").sign(bytes(csr), "a", "b")


def test_client_certificate_is_checked_for_issuer_time_and_purpose() -> None:
    now = [dt.datetime(2026, 5, 1, tzinfo=dt.UTC)]
    authority = ca.CertificateAuthority.create("KubeEdge", lambda: now[0])
    der = authority.sign(request_for(ec.generate_private_key(ec.SECP256R1())), "n", "o", [2], 10)
    with pytest.raises(ValueError, match="not signed by"):
        ca.CertificateAuthority.create("KubeEdge", lambda: now[0]).verify_client(der)
    server = authority.sign(request_for(ec.generate_private_key(ec.SECP256R1())), "n", "o", [1], 10)
    with pytest.raises(ValueError, match="not meant for clients"):
        authority.verify_client(server)
    now[0] += dt.timedelta(days=11)
    with pytest.raises(ValueError, match="not valid at this time"):
        authority.verify_client(der)
