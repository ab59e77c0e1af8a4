"""Owning the key of a certificate: what proves it and what does not."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509

from edgelab.identity.ca import CertificateAuthority, utc_now
from edgelab.identity.proof import ProofError, Prover, is_for_servers, verified

STATEMENT = b"this connection"


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("KubeEdge")


def prover(authority: CertificateAuthority, **usage: bool) -> Prover:
    pair = authority.issue(common_name="system:node:edge1", **(usage or {"client": True}))
    return Prover(pair.cert_pem, pair.key_pem)


def test_the_owner_of_the_key_is_known_by_the_certificate(authority: CertificateAuthority) -> None:
    one = prover(authority)
    found = verified(authority, one.chain, one.sign(STATEMENT), STATEMENT)
    assert found.subject.rfc4514_string() == "CN=system:node:edge1"


def test_a_signature_for_another_connection_proves_nothing(authority: CertificateAuthority) -> None:
    one = prover(authority)
    with pytest.raises(ProofError, match="not for this connection"):
        verified(authority, one.chain, one.sign(b"another connection"), STATEMENT)


def test_a_signature_by_another_key_proves_nothing(authority: CertificateAuthority) -> None:
    with pytest.raises(ProofError, match="not by the key"):
        verified(authority, prover(authority).chain, prover(authority).sign(STATEMENT), STATEMENT)


@pytest.mark.parametrize(
    ("chain", "text"), [([], "no certificate"), ([b"\x30\x00"], "pars"), ([b"x"], "pars")]
)
def test_what_is_no_certificate_proves_nothing(
    authority: CertificateAuthority, chain: list[bytes], text: str
) -> None:
    with pytest.raises(ProofError, match=text):
        verified(authority, chain, prover(authority).sign(STATEMENT), STATEMENT)


def test_another_authority_proves_nothing(authority: CertificateAuthority) -> None:
    one = prover(CertificateAuthority.create("KubeEdge"))
    with pytest.raises(ProofError, match="not signed by this authority"):
        verified(authority, one.chain, one.sign(STATEMENT), STATEMENT)


def test_a_servers_certificate_is_no_nodes(authority: CertificateAuthority) -> None:
    one = prover(authority, server=True)
    with pytest.raises(ProofError, match="not meant for clients"):
        verified(authority, one.chain, one.sign(STATEMENT), STATEMENT)


def test_the_time_is_left_to_the_caller(authority: CertificateAuthority) -> None:
    past = CertificateAuthority.load(
        authority.cert_pem, authority.key_pem, lambda: utc_now() - dt.timedelta(days=30)
    )
    pair = past.issue(common_name="system:node:edge1", client=True, days=1)
    one = Prover(pair.cert_pem, pair.key_pem)
    assert verified(authority, one.chain, one.sign(STATEMENT), STATEMENT)


def test_a_key_of_another_certificate_is_noticed_at_once(authority: CertificateAuthority) -> None:
    one, other = (authority.issue(common_name="a", client=True) for _ in range(2))
    with pytest.raises(ValueError, match="does not belong"):
        Prover(one.cert_pem, other.key_pem)


def test_which_certificates_a_server_may_have(authority: CertificateAuthority) -> None:
    for usage, good in (({"server": True}, True), ({"client": True}, False), ({}, True)):
        pair = authority.issue(common_name="a", **usage)
        assert is_for_servers(x509.load_pem_x509_certificate(pair.cert_pem)) is good
