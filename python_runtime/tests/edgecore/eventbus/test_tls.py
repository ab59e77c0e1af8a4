from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
from tests.edgecore.cloud_peer import Pki

from edgelab.edgecore.eventbus.tls import client_tls, server_tls
from edgelab.settings.edgecore import EventBusTLS


def files(directory: Path, *, enable: bool) -> EventBusTLS:
    return EventBusTLS(
        enable=enable,
        tlsMqttCAFile=str(directory / "rootCA.crt"),
        tlsMqttCertFile=str(directory / "server.crt"),
        tlsMqttPrivateKeyFile=str(directory / "server.key"),
    )


def test_who_is_checked_follows_enable_and_what_is_encrypted_the_address(tmp_path: Path) -> None:
    Pki.create(tmp_path)
    assert client_tls(files(tmp_path, enable=False), encrypted=False) is None
    assert server_tls(files(tmp_path, enable=True), encrypted=False) is None
    unchecked = client_tls(files(tmp_path / "missing", enable=False), encrypted=True)
    checked = client_tls(files(tmp_path, enable=True), encrypted=False)
    for tls, mode in ((unchecked, ssl.CERT_NONE), (checked, ssl.CERT_REQUIRED)):
        assert tls is not None
        assert tls.context.verify_mode == mode
    assert unchecked is not None
    unchecked.refresh()  # there is nothing to read again


def test_a_renewal_that_is_half_done_is_told_once_and_taken_over_when_it_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Pki.create(tmp_path)
    tls = server_tls(files(tmp_path, enable=False), encrypted=True)
    assert tls is not None
    whole = (tmp_path / "server.key").read_bytes()
    with caplog.at_level(logging.INFO):
        replace(tmp_path / "server.key", b"not yet")
        for _ in range(3):
            tls.refresh()
        replace(tmp_path / "server.key", whole)
        for _ in range(3):
            tls.refresh()
    first, second = [record.getMessage() for record in caplog.records]
    assert "what was read before stays" in first
    assert "took over renewed files" in second


def replace(path: Path, content: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    new.replace(path)
