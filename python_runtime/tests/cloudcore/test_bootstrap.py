"""The HTTPS listener refuses in the words of KubeEdge's, and edges go on when its certificate changes."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from tests.cloudcore.cloud import Cloud, running
from tests.cloudcore.test_faults import certify
from tests.cloudcore.test_join import csr, failure, fetch

from edgelab.cloudcore.cloudhub.tokens import TokenLedger
from edgelab.daemon.errors import Fatal
from edgelab.identity import enrol, inspect, token
from edgelab.identity.ca import CertificateAuthority, load_certificate
from edgelab.identity.enrol import Code

YEAR = dt.timedelta(days=365)
FIRST_JOIN = Path(__file__).parent / "vectors" / "first-join-http.jsonl"
"""What a Go EdgeCore asked when it joined a Go CloudCore, and the answers; its token is cut."""


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        yield found


def made(cloud: Cloud, hours: float) -> str:
    """The JWT of a shared token that is good for so many hours."""
    end = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    return token.split(token.make(cloud.pki.ca.cert_der, cloud.pki.ca.key_der, end)).jwt


def outline(der: bytes) -> object:
    """What of a certificate does not differ from one cluster to another."""
    certificate = x509.load_der_x509_certificate(der)
    extensions = certificate.extensions
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    authority = [e.value for e in extensions if isinstance(e.value, x509.BasicConstraints)]
    return (
        sorted((attribute.oid.dotted_string, attribute.value) for attribute in certificate.subject),
        {usage.dotted_string for usage in usages},
        bool(authority and authority[0].ca),
        certificate.signature_hash_algorithm.name if certificate.signature_hash_algorithm else "",
    )


async def test_a_recorded_go_edge_joins(cloud: Cloud) -> None:
    [authority, enrolment] = map(json.loads, FIRST_JOIN.read_text(encoding="utf-8").splitlines())
    status, ca = await fetch(cloud, authority["uri"])
    assert (status, outline(ca)) == (authority["status"], outline(bytes.fromhex(authority["resp_body_hex"])))
    headers = {name: values[0] for name, values in enrolment["req_headers"].items()}
    headers["Authorization"] = f"Bearer {made(cloud, 1)}"
    request, recorded = (bytes.fromhex(enrolment[f"{side}_body_hex"]) for side in ("req", "resp"))
    status, der = await fetch(cloud, enrolment["uri"], request, headers)
    assert (status, outline(der)) == (enrolment["status"], outline(recorded))
    issued = x509.load_der_x509_certificate(der)
    assert issued.public_key() == x509.load_der_x509_csr(request).public_key()
    issued.verify_directly_issued_by(x509.load_der_x509_certificate(ca))
    lives = issued.not_valid_after_utc - issued.not_valid_before_utc
    assert abs(lives - YEAR) < dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "token validation failure, token is empty"),
        ("Bearer", "token validation failure, token cannot be split"),
        ("Bearer a.b c", "token validation failure, token cannot be split"),
        ("Bearer a.b.c", "token validation failure, err: the token is malformed"),
        ("Bearer EXPIRED", "token validation failure, err: the token expired at"),
    ],
)
async def test_a_wrong_token_is_refused_in_the_original_s_words(
    cloud: Cloud, header: str, words: str
) -> None:
    headers = {"NodeName": "edge1", "Authorization": header.replace("EXPIRED", made(cloud, -1))}
    if not header:
        del headers["Authorization"]
    status, text = await fetch(cloud, "/edge.crt", csr("system:node:edge1"), headers)
    assert (status, text.decode()[: len(words)]) == (401, words)


async def test_a_request_that_is_none_is_an_error_in_the_original_s_words(cloud: Cloud) -> None:
    headers = {"NodeName": "edge1", "Authorization": f"Bearer {made(cloud, 1)}"}
    status, text = await fetch(cloud, "/edge.crt", b"garbage", headers)
    words = "failed to sign certs for edgenode edge1, err: the certificate request cannot be read"
    assert (status, text.decode()) == (500, words)


async def renewal(cloud: Cloud, owner: str, node: str) -> tuple[int, str]:
    """The answer to a renewal for `node` with the certificate of `owner`."""
    files = cloud.request(owner)
    context = ssl._create_unverified_context()
    context.load_cert_chain(files.cert_file, files.key_file)
    status, text = await fetch(
        cloud, "/edge.crt", csr(f"system:node:{node}"), {"NodeName": node}, context=context
    )
    return status, text.decode("utf-8", "replace")


async def test_a_certificate_that_has_ended_is_refused_in_the_original_s_words(cloud: Cloud) -> None:
    certify(cloud, ago=2 * YEAR)
    status, text = await renewal(cloud, "edge1", "edge1")
    words = (
        "failed to verify the certificate for edgenode: edge1, err: failed to verify edge certificate:"
        " x509: certificate has expired or is not yet valid: current time "
    )
    assert (status, text[: len(words)]) == (401, words)
    assert " is after " in text


async def test_a_certificate_of_another_node_is_refused_in_the_original_s_words(cloud: Cloud) -> None:
    certify(cloud, "edge2")
    words = (
        "failed to verify the certificate for edgenode: edge1, err:"
        " request node name is not match with the certificate"
    )
    assert await renewal(cloud, "edge2", "edge1") == (401, words)
    assert (await renewal(cloud, "edge2", "edge2"))[0] == 200


async def test_a_certificate_of_another_authority_does_not_get_through_tls(
    cloud: Cloud, tmp_path: Path
) -> None:
    stranger = CertificateAuthority.create("KubeEdge")
    pair = stranger.issue(common_name="system:node:edge1", organization="system:nodes", client=True)
    files = cloud.request()
    files.cert_file.parent.mkdir(parents=True)
    files.cert_file.write_bytes(pair.cert_pem)
    files.key_file.write_bytes(pair.key_pem)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await renewal(cloud, "edge1", "edge1")
    assert (await fetch(cloud, "/ca.crt"))[0] == 200


async def test_an_edge_whose_certificate_has_ended_joins_again_with_a_token_of_its_own(cloud: Cloud) -> None:
    certify(cloud, ago=2 * YEAR)
    with pytest.raises(Fatal) as refused:
        await asyncio.to_thread(enrol.renew, cloud.request())
    assert refused.value.code == Code.CLOCK
    day = dt.timedelta(days=1)
    _, text = await TokenLedger(cloud.api, "kubeedge").mint(cloud.pki.ca, "edge1", day)
    assert "the token is for node 'edge1', not for 'edge2'" in str(await failure(cloud, text, "edge2"))
    await asyncio.to_thread(enrol.enrol, cloud.request(), text)
    await (await cloud.dial()).close()


async def test_edges_go_on_when_the_advertised_addresses_change(tmp_path: Path) -> None:
    async with running(tmp_path) as before:
        await before.enrol()
        first = before.pki
    addresses = ["127.0.0.1", "10.9.8.7"]
    async with running(tmp_path, before.api, advertiseAddress=addresses, dnsNames=["c.example"]) as cloud:
        server = load_certificate(cloud.pki.server.cert_pem)
        assert inspect.alternative_names(server) == (addresses, ["c.example"])
        assert (cloud.pki.ca.cert_der, cloud.pki.server) != (first.ca.cert_der, first.server)
        assert cloud.pki.ca.cert_der == first.ca.cert_der
        assert ssl.PEM_cert_to_DER_cert(cloud.pki.server.cert_pem.decode()) == await shown(cloud)
        edge = await cloud.dial()
        assert (await edge.ask("k8s/ca.crt", "query")).value() == "kube ca"
        await edge.close()
        await asyncio.to_thread(enrol.renew, cloud.request())


async def shown(cloud: Cloud) -> bytes:
    """The certificate that the listener shows."""
    port = int(cloud.https.rpartition(":")[2])
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    return ssl.PEM_cert_to_DER_cert(pem)
