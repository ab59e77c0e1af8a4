"""A certificate and its key change together, also when the machine stops in between."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edgelab.identity import files
from edgelab.identity.ca import CertificateAuthority, KeyPair

CA = CertificateAuthority.create("KubeEdge")


def pair() -> KeyPair:
    return CA.issue(common_name="system:node:edge1", client=True)


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "certs" / "server.crt", tmp_path / "certs" / "server.key"


def test_written_files_belong_together_and_only_their_owner_reads_them(paths: tuple[Path, Path]) -> None:
    cert, key = paths
    files.write_pair(cert, pair().cert_pem, key, pair().key_pem)
    assert not files.matches(cert, key)
    fresh = pair()
    files.write_pair(cert, fresh.cert_pem, key, fresh.key_pem)
    assert files.matches(cert, key)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert sorted(path.name for path in cert.parent.iterdir()) == ["server.crt", "server.key"]


def test_a_stop_between_the_two_renames_is_finished_later(
    paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = paths
    old, new = pair(), pair()
    files.write_pair(cert, old.cert_pem, key, old.key_pem)
    rename = files._sync_rename

    def power_cut(source: Path, target: Path) -> None:
        if target == cert:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(files, "_sync_rename", power_cut)
    with pytest.raises(KeyboardInterrupt):
        files.write_pair(cert, new.cert_pem, key, new.key_pem)
    monkeypatch.undo()
    assert not files.matches(cert, key)
    assert files.finish_interrupted(cert, key)
    assert (cert.read_bytes(), key.read_bytes()) == (new.cert_pem, new.key_pem)
    assert not files.finish_interrupted(cert, key)


def test_a_stop_before_the_first_rename_leaves_the_old_pair(
    paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = paths
    old, new = pair(), pair()
    files.write_pair(cert, old.cert_pem, key, old.key_pem)
    monkeypatch.setattr(files, "_sync_rename", lambda source, target: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        files.write_pair(cert, new.cert_pem, key, new.key_pem)
    monkeypatch.undo()
    assert not files.finish_interrupted(cert, key)
    assert (cert.read_bytes(), key.read_bytes()) == (old.cert_pem, old.key_pem)
    assert sorted(path.name for path in cert.parent.iterdir()) == ["server.crt", "server.key"]
