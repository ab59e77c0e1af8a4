"""`keadm cert` against an API server on a socket, and on the files of a host."""

from __future__ import annotations

import base64
import datetime as dt
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.keadm.api_server import ApiServer
from tests.keadm.conftest import Keadm

from edgelab.identity import files, token
from edgelab.identity.ca import CertificateAuthority, load_certificate, subject_of

SECRETS = "/api/v1/namespaces/kubeedge/secrets"
ENSURE = ("ensure", "--address", "10.0.0.1", "--dns-name", "cloud")


@pytest.fixture
def ask(keadm: Keadm, kube_config: Path, tmp_path: Path) -> Any:
    nowhere = ("--config", tmp_path / "edgecore.yaml")

    def run(*words: Any) -> tuple[int, dict[str, Any]]:
        more = nowhere if words[0] in ("list", "check") else ()
        return keadm("cert", *words, *more, "--kube-config", kube_config)

    return run


def stored(server: ApiServer, secret: str, key: str) -> bytes:
    return base64.b64decode(server.objects[f"{SECRETS}/{secret}"]["data"][key])


def test_ensure_makes_authority_and_certificate_once_and_follows_addresses(
    ask: Any, server: ApiServer
) -> None:
    status, told = ask(*ENSURE, "--check")
    assert (status, told["changed"], told["replaced"]) == (0, True, ["ca", "cloudcore"]), told
    assert server.writes == []
    assert ask(*ENSURE)[1]["restart_needed"] is True
    assert ask(*ENSURE)[1]["changed"] is False
    ca = stored(server, "casecret", "cadata")
    moved = (*ENSURE, "--address", "10.0.0.2")
    assert ask(*moved, "--check")[1]["replaced"] == ["cloudcore"]
    told = ask(*moved)[1]
    assert (told["replaced"], told["addresses"]) == (["cloudcore"], ["10.0.0.1", "10.0.0.2"])
    assert told["ca_hash"] == token.ca_hash(ca)
    assert stored(server, "casecret", "cadata") == ca


def test_an_authority_of_the_user_s_own_is_taken(ask: Any, server: ApiServer, tmp_path: Path) -> None:
    own = CertificateAuthority.create("Plant 7", years=2)
    cert, key = tmp_path / "own.crt", tmp_path / "own.key"
    cert.write_bytes(own.cert_pem)
    assert "go together" in ask(*ENSURE, "--ca-file", cert)[1]["error"]
    assert "there is no file" in ask(*ENSURE, "--ca-file", cert, "--ca-key-file", key)[1]["error"]
    key.write_bytes(CertificateAuthority.create("Other").key_pem)
    assert "does not belong" in ask(*ENSURE, "--ca-file", cert, "--ca-key-file", key)[1]["error"]
    key.write_bytes(own.key_pem)
    status, told = ask(*ENSURE, "--ca-file", cert, "--ca-key-file", key)
    assert (status, told["changed"]) == (0, True), told
    assert stored(server, "casecret", "cadata") == own.cert_der
    server_certificate = load_certificate(stored(server, "cloudcoresecret", "cloudcoredata"))
    server_certificate.verify_directly_issued_by(own.certificate)


def test_list_and_check_tell_days_and_missing_names(ask: Any) -> None:
    assert "there is no Secret kubeedge/casecret" in ask("list")[1]["error"]
    ask(*ENSURE)
    found = {entry["name"]: entry for entry in ask("list")[1]["certificates"]}
    assert set(found) == {"ca", "cloudcore"}
    assert (found["cloudcore"]["addresses"], found["cloudcore"]["dns_names"]) == (["10.0.0.1"], ["cloud"])
    assert found["ca"]["days_left"] > 36000
    wanted = ("check", "--address", "10.0.0.1", "--dns-name", "cloud")
    assert ask(*wanted)[0] == 0
    status, told = ask(*wanted, "--address", "10.0.0.9", "--dns-name", "vip.example")
    assert status == 1
    assert told["certificates"][1]["missing"] == ["10.0.0.9", "vip.example"]
    assert "does not name 10.0.0.9, vip.example: `keadm cert ensure`" in told["error"]
    status, told = ask("check", "--days", "36450")
    assert status == 1
    assert "keadm cert rotate server" in told["error"]


def test_an_edge_host_needs_no_kubeconfig_to_look_at_its_own_certificate(
    keadm: Keadm, tmp_path: Path
) -> None:
    ca = CertificateAuthority.create("KubeEdge")
    pair = ca.issue(common_name="system:node:edge1", organization="system:nodes", client=True, days=10)
    cert = tmp_path / "server.crt"
    cert.write_bytes(pair.cert_pem)
    config = tmp_path / "edgecore.yaml"
    config.write_text(yaml.safe_dump({"modules": {"edgeHub": {"tlsCertFile": str(cert)}}}))
    where = ("--config", config, "--kube-config", tmp_path / "none")
    [entry] = keadm("cert", "list", *where)[1]["certificates"]
    assert (entry["name"], entry["common_name"]) == ("edge", "system:node:edge1")
    assert entry["days_left"] in (9, 10)
    status, told = keadm("cert", "check", *where, "--days", "30")
    assert status == 1
    assert "keadm cert rotate edge" in told["error"]
    assert keadm("cert", "check", *where, "--days", "5")[0] == 0
    assert "none is not there" in keadm("cert", "check", *where, "--address", "10.0.0.1")[1]["error"]


def test_a_certificate_is_issued_into_private_files_and_never_over_others(
    ask: Any, server: ApiServer, tmp_path: Path
) -> None:
    assert "keadm cert ensure" in ask("issue", "--node", "edge1", "--directory", tmp_path / "x")[1]["error"]
    ask(*ENSURE)
    target = tmp_path / "for-edge1"
    call = ("issue", "--node", "edge1", "--directory", target)
    assert ask(*call, "--check")[1]["changed"] is True
    assert not target.exists()
    status, told = ask(*call, "--days", "30")
    assert status == 0, told
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()} == {0o600}
    assert files.matches(target / "server.crt", target / "server.key")
    certificate = load_certificate((target / "server.crt").read_bytes())
    assert subject_of(certificate) == ("system:node:edge1", "system:nodes")
    certificate.verify_directly_issued_by(load_certificate((target / "ca.crt").read_bytes()))
    assert (certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)).days in (29, 30)
    assert "PRIVATE" not in json.dumps(told)
    assert "there already" in ask(*call)[1]["error"]
    assert "no DNS label" in ask("issue", "--node", "A", "--directory", target)[1]["error"]


def test_without_a_directory_the_answer_holds_the_certificate(ask: Any) -> None:
    ask(*ENSURE)
    told = ask("issue", "--node", "edge1")[1]
    assert subject_of(load_certificate(told["certificate"].encode()))[0] == "system:node:edge1"
    assert told["key"].startswith("-----BEGIN EC PRIVATE KEY-----")
    assert ask("issue", "--node", "edge1", "--check")[1]["key"] == ""


def test_rotating_keeps_the_names_and_replaces_the_key(ask: Any, server: ApiServer) -> None:
    ask(*ENSURE)
    before = stored(server, "cloudcoresecret", "cloudcorekeydata")
    assert ask("rotate", "server", "--check")[1]["changed"] is True
    assert stored(server, "cloudcoresecret", "cloudcorekeydata") == before
    told = ask("rotate", "server")[1]
    assert (told["addresses"], told["restart_needed"]) == (["10.0.0.1"], True)
    assert stored(server, "cloudcoresecret", "cloudcorekeydata") != before
    assert ask(*ENSURE)[1]["changed"] is False


def test_a_new_shared_token_is_not_in_the_answer(ask: Any, server: ApiServer) -> None:
    ask(*ENSURE)
    told = ask("rotate", "token", "--hours", "2")[1]
    text = stored(server, "tokensecret", "tokendata").decode()
    assert text not in json.dumps(told)
    key = stored(server, "casecret", "cakeydata")
    left = token.verify(token.split(text).jwt, key, dt.datetime.now(dt.UTC)).expires - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=119) < left <= dt.timedelta(hours=2)


def test_an_edge_rotates_only_where_it_has_joined(keadm: Keadm, tmp_path: Path) -> None:
    config = tmp_path / "edgecore.yaml"
    assert "runs on the edge host" in keadm("cert", "rotate", "edge", "--config", config)[1]["error"]
    hub = {name: str(tmp_path / name) for name in ("tlsCaFile", "tlsCertFile", "tlsPrivateKeyFile")}
    config.write_text(yaml.safe_dump({"modules": {"edgeHub": hub, "edged": {"hostnameOverride": "edge1"}}}))
    assert "it has to join first" in keadm("cert", "rotate", "edge", "--config", config)[1]["error"]
