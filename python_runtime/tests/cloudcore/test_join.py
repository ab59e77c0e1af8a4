"""Joining: the child process of an edge node against CloudCore's HTTPS listener, and what goes wrong."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import io
import ssl
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.cloudcore.cloud import Cloud, running

from edgelab.daemon.errors import Fatal
from edgelab.identity import __main__ as program
from edgelab.identity import enrol, files, token
from edgelab.identity.ca import CertificateAuthority, load_certificate, subject_of
from edgelab.identity.enrol import Code


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        yield found


async def failure(cloud: Cloud, text: str, node: str = "edge1", days: float = 0) -> Fatal:
    """What enrolling with this token ends in, on a machine whose clock is wrong by so many days."""

    def clock() -> dt.datetime:
        return dt.datetime.now(dt.UTC) + dt.timedelta(days=days)

    with pytest.raises(Fatal) as caught:
        await asyncio.to_thread(enrol.enrol, cloud.request(node), text, clock)
    assert "\n" not in str(caught.value)
    assert not cloud.request(node).cert_file.exists()
    return caught.value


async def fetch(
    cloud: Cloud,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    *,
    context: ssl.SSLContext | None = None,
) -> tuple[int, bytes]:
    context = context or ssl._create_unverified_context()
    host, port = cloud.https.removeprefix("https://").split(":")

    def call() -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
        try:
            connection.request("GET", path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    return await asyncio.to_thread(call)


def csr(common_name: str, **names: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names.values()])
        builder = builder.add_extension(alternative, critical=False)
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


async def test_enrolling_writes_a_certificate_for_the_node_readable_by_its_owner(cloud: Cloud) -> None:
    await cloud.enrol()
    request = cloud.request()
    assert files.matches(request.cert_file, request.key_file)
    certificate = load_certificate(request.cert_file.read_bytes())
    assert subject_of(certificate) == ("system:node:edge1", "system:nodes")
    assert load_certificate(request.ca_file.read_bytes()) == cloud.pki.ca.certificate
    assert stat.S_IMODE(request.key_file.stat().st_mode) == 0o600
    assert enrol.has_identity(request)


async def test_renewing_gives_a_new_key_without_a_token(cloud: Cloud) -> None:
    await cloud.enrol()
    request = cloud.request()
    before = request.key_file.read_bytes()
    await asyncio.to_thread(enrol.renew, request)
    assert request.key_file.read_bytes() != before
    assert files.matches(request.cert_file, request.key_file)
    await (await cloud.dial()).close()


async def test_the_child_process_takes_the_token_from_standard_input(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = cloud.request()
    arguments = ["enrol", "--server", cloud.https, "--node", "edge1"]
    for name in ("ca", "cert", "key"):
        arguments += [f"--{name}-file", str(getattr(request, f"{name}_file"))]
    monkeypatch.setattr(sys, "stdin", io.StringIO("nonsense\n"))
    assert await asyncio.to_thread(program.main, arguments) == Code.TOKEN
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setattr(sys, "stdin", io.StringIO(await cloud.token() + "\n"))
    assert await asyncio.to_thread(program.main, arguments) == 0
    assert await asyncio.to_thread(program.main, ["renew", *arguments[1:]]) == 0


async def test_a_token_signed_by_somebody_else_is_refused(cloud: Cloud) -> None:
    stranger = CertificateAuthority.create("KubeEdge")
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    forged = token.make(cloud.pki.ca.cert_der, stranger.key_der, expires)
    error = await failure(cloud, forged)
    assert error.code == Code.TOKEN
    assert "not issued by this CloudCore" in str(error)


async def test_an_expired_token_is_refused(cloud: Cloud) -> None:
    expires = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    old = token.make(cloud.pki.ca.cert_der, cloud.pki.ca.key_der, expires)
    error = await failure(cloud, old)
    assert error.code == Code.TOKEN
    assert "expired" in str(error)


async def test_a_token_for_another_authority_is_told_as_a_hash_mismatch(cloud: Cloud) -> None:
    stranger = CertificateAuthority.create("KubeEdge")
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    error = await failure(cloud, token.make(stranger.cert_der, stranger.key_der, expires))
    assert error.code == Code.CA_MISMATCH
    assert "CA hash mismatch" in str(error)


async def test_a_clock_that_is_a_day_behind_is_told_with_both_times(cloud: Cloud) -> None:
    error = await failure(cloud, await cloud.token(), days=-1)
    assert error.code == Code.CLOCK
    start = cloud.pki.ca.certificate.not_valid_before_utc
    assert f"{start:%Y-%m-%dT%H:%M:%SZ}" in str(error)
    assert "this machine's clock says" in str(error)
    assert "the cloud's clock says" in str(error)


async def test_a_clock_two_hundred_years_ahead_sees_an_expired_authority(cloud: Cloud) -> None:
    error = await failure(cloud, await cloud.token(), days=365 * 200)
    assert error.code == Code.CLOCK
    assert "expired" in str(error)


async def test_a_cloud_that_is_not_there_is_told_with_its_address(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        text, address = await cloud.token(), cloud.https
    request = enrol.Request(address, "edge1", tmp_path / "ca", tmp_path / "crt", tmp_path / "key")
    with pytest.raises(Fatal) as caught:
        await asyncio.to_thread(enrol.enrol, request, text)
    assert caught.value.code == Code.UNREACHABLE
    assert address in str(caught.value)


async def test_a_name_that_is_no_node_name_is_refused(cloud: Cloud) -> None:
    error = await failure(cloud, await cloud.token(), node="Edge_1")
    assert error.code == Code.NAME


async def test_a_node_cannot_renew_into_another_name(cloud: Cloud) -> None:
    await cloud.enrol()
    own = cloud.request()
    other = enrol.Request(own.server, "edge2", own.ca_file, own.cert_file, own.key_file)
    with pytest.raises(Fatal) as caught:
        await asyncio.to_thread(enrol.renew, other)
    assert caught.value.code == Code.NAME
    assert subject_of(load_certificate(own.cert_file.read_bytes()))[0] == "system:node:edge1"


async def test_the_bootstrap_api_keeps_the_original_s_contract(cloud: Cloud) -> None:
    assert await fetch(cloud, "/ca.crt") == (200, cloud.pki.ca.cert_der)
    assert await fetch(cloud, "/node/edge1") == (404, b"Node not found")
    await cloud.node()
    assert await fetch(cloud, "/node/edge1") == (200, b"Node found")
    assert (await fetch(cloud, "/edge.crt", csr("system:node:edge1"), {"NodeName": "edge1"}))[0] == 401
    bearer = {"Authorization": f"Bearer {token.split(await cloud.token()).jwt}", "NodeName": "edge1"}
    assert (await fetch(cloud, "/edge.crt", b"garbage", bearer))[0] == 500
    assert (await fetch(cloud, "/edge.crt", csr("system:node:edge2"), bearer))[0] == 403


async def test_an_edge_certificate_carries_no_host_name_that_its_owner_chose(cloud: Cloud) -> None:
    bearer = {
        "Authorization": f"Bearer {token.split(await cloud.token()).jwt}",
        "NodeName": "edge1",
        "ExtKeyUsages": "[1,2]",
    }
    status, der = await fetch(cloud, "/edge.crt", csr("system:node:edge1", san="cloud.example"), bearer)
    assert status == 200
    with pytest.raises(x509.ExtensionNotFound):
        x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
