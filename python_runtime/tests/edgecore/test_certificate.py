"""Reading a certificate without a cryptography library gives what the library gives."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from edgelab.edgecore.edgehub import certificate
from edgelab.identity.ca import CertificateAuthority, load_certificate


@pytest.mark.parametrize(("years", "days"), [(10, 30), (100, 365 * 60)])
def test_name_and_validity_are_those_of_the_certificate(tmp_path: Path, years: int, days: int) -> None:
    authority = CertificateAuthority.create("KubeEdge", years=years)
    pair = authority.issue(
        common_name="system:node:edge1", organization="system:nodes", client=True, days=days
    )
    path = tmp_path / "server.crt"
    path.write_bytes(pair.cert_pem)
    expected = load_certificate(pair.cert_pem)
    found = certificate.read(path)
    assert found == (
        "system:node:edge1",
        expected.not_valid_before_utc,
        expected.not_valid_after_utc,
    )
    assert found is not None
    assert found.not_after.tzinfo is dt.UTC


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_gives_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "server.crt"
    path.write_bytes(content)
    assert certificate.read(path) is None


def test_a_missing_file_gives_none(tmp_path: Path) -> None:
    assert certificate.read(tmp_path / "none") is None
