"""`keadm diagnose node` and `install` on files, certificates and sockets that tests make."""

from __future__ import annotations

import datetime as dt
import json
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.keadm.conftest import Keadm

from edgelab.identity.ca import CertificateAuthority
from edgelab.identity.token import make
from edgelab.keadm.diagnose_install import name
from edgelab.keadm.diagnose_node import bare, diagnose
from edgelab.keadm.diagnose_runtime import known_pods
from edgelab.keadm.diagnose_tunnel import expected

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


class NodeFiles:
    """An edge node's directory: edgecore.yaml, CA, certificate, key, token."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ca = CertificateAuthority.create("KubeEdge", lambda: NOW)
        self.document: dict[str, Any] = {
            "apiVersion": "edgecore.config.kubeedge.io/v1alpha2",
            "kind": "EdgeCore",
            "database": {"dataSource": str(root / "edgecore.db")},
            "edgelab": {"bootstrapFile": str(root / "token")},
            "modules": {
                "edged": {
                    "hostnameOverride": "edge1",
                    "tailoredKubeletConfig": {
                        "containerRuntimeEndpoint": f"unix://{root}/none.sock",
                        "cgroupDriver": "systemd",
                    },
                },
                "edgeHub": {
                    "tlsCaFile": str(root / "ca.crt"),
                    "tlsCertFile": str(root / "node.crt"),
                    "tlsPrivateKeyFile": str(root / "node.key"),
                },
                "eventBus": {"mqttServerExternal": "tcp://user:hunter2@127.0.0.1:1883"},
            },
        }

    @property
    def config(self) -> Path:
        path = self.root / "edgecore.yaml"
        path.write_text(yaml.safe_dump(self.document), encoding="utf-8")
        return path

    def join(self, node: str = "edge1", days: int = 365, ca: CertificateAuthority | None = None) -> None:
        pair = (ca or self.ca).issue(common_name=f"system:node:{node}", client=True, days=days)
        (self.root / "ca.crt").write_bytes(self.ca.cert_pem)
        (self.root / "node.crt").write_bytes(pair.cert_pem)
        (self.root / "node.key").write_bytes(pair.key_pem)

    def token(self, expires: dt.datetime) -> None:
        text = make(self.ca.cert_der, self.ca.key_der, expires)
        (self.root / "token").write_text(text, encoding="utf-8")

    def find(self, code: str, name: str = "") -> Any:
        found, _ = diagnose(self.config, name, lambda: NOW)
        [one] = [finding for finding in found if finding.code == code]
        return one


@pytest.fixture
def node(tmp_path: Path) -> NodeFiles:
    return NodeFiles(tmp_path)


def test_a_node_that_joined_is_fine(node: NodeFiles) -> None:
    node.join()
    for code in ("EDGE-CONFIG", "EDGE-CONFIG-UNKNOWN", "EDGE-CERT", "EDGE-CERT-EXPIRY", "EDGE-TOKEN"):
        assert (node.find(code).status, node.find(code).fix) == ("ok", ""), code


def test_without_a_configuration_everything_is_unknown(tmp_path: Path) -> None:
    found, settings = diagnose(tmp_path / "none.yaml", "edge1", lambda: NOW)
    assert {one.status for one in found} == {"unknown"}
    assert settings == {}
    assert {one.code for one in found} >= {"EDGE-CONFIG", "EDGE-CERT", "EDGE-LEFTOVERS"}


def test_an_invalid_configuration_names_the_field_and_the_check(node: NodeFiles) -> None:
    node.document["modules"]["edged"]["tailoredKubeletConfig"]["cgroupDriver"] = "none"
    one = node.find("EDGE-CONFIG")
    assert one.status == "failed"
    assert "modules.edged.tailoredKubeletConfig.cgroupDriver" in one.found
    assert "edgecore_settings" in one.fix


def test_a_field_of_a_wrong_type_leaves_the_rest_unknown(node: NodeFiles) -> None:
    node.document["modules"]["edgeHub"]["heartbeat"] = "soon"
    assert node.find("EDGE-CONFIG").status == "failed"
    assert node.find("EDGE-CERT").status == "unknown"


def test_a_field_that_nobody_knows_is_named(node: NodeFiles) -> None:
    node.document["modules"]["edgedd"] = {"enable": True}
    one = node.find("EDGE-CONFIG-UNKNOWN")
    assert (one.status, one.subject) == ("failed", "modules.edgedd")


@pytest.mark.parametrize("missing", ["node.key", "ca.crt"])
def test_a_certificate_without_its_files_is_lost(node: NodeFiles, missing: str) -> None:
    node.join()
    (node.root / missing).unlink()
    one = node.find("EDGE-CERT")
    assert (one.status, missing in one.found) == ("failed", True)
    assert "joins anew" in one.fix


def test_a_node_that_has_not_joined_is_not_known(node: NodeFiles) -> None:
    assert node.find("EDGE-CERT").status == "unknown"
    assert node.find("EDGE-CERT-EXPIRY").status == "unknown"


def test_a_certificate_of_another_node_key_or_authority_is_found(node: NodeFiles) -> None:
    node.join("edge9")
    assert "system:node:edge9, and this node is edge1" in node.find("EDGE-CERT").found
    assert "edgecore_node_name" in node.find("EDGE-CERT").fix
    node.join(ca=CertificateAuthority.create("KubeEdge", lambda: NOW))
    assert "not signed by" in node.find("EDGE-CERT").found
    node.join()
    (node.root / "node.key").write_bytes(node.ca.key_pem)
    assert "is not its key" in node.find("EDGE-CERT").found
    (node.root / "node.crt").write_bytes(b"-----BEGIN rubbish")
    assert "cannot be read" in node.find("EDGE-CERT").found


@pytest.mark.parametrize(("days", "status"), [(0, "failed"), (1, "failed"), (10, "warning"), (300, "ok")])
def test_the_end_of_a_certificate(node: NodeFiles, days: int, status: str) -> None:
    node.join(days=days)
    assert node.find("EDGE-CERT-EXPIRY").status == status


@pytest.mark.parametrize(
    ("hours", "status", "words"),
    [(-1, "failed", "expired on 2026-05-31"), (0.5, "warning", "0.5 hours"), (12, "ok", "12.0 hours")],
)
def test_the_age_of_a_join_token(node: NodeFiles, hours: float, status: str, words: str) -> None:
    node.token(NOW + dt.timedelta(hours=hours))
    one = node.find("EDGE-TOKEN")
    assert one.status == status
    assert words in one.found
    assert "eyJ" not in json.dumps([one.found, one.fix, one.subject])


def test_a_token_that_is_needed_no_more_or_is_none(node: NodeFiles) -> None:
    (node.root / "token").write_text("rubbish")
    assert "is no join token" in node.find("EDGE-TOKEN").found
    node.join()
    assert node.find("EDGE-TOKEN").status == "warning"


def test_a_runtime_that_does_not_answer(node: NodeFiles) -> None:
    one = node.find("EDGE-RUNTIME-READY")
    assert (one.status, "none.sock" in one.found) == ("failed", True)
    assert node.find("EDGE-SANDBOX-IMAGE").status == "unknown"


def test_settings_for_the_host_s_checks_hold_no_password(node: NodeFiles) -> None:
    _, settings = diagnose(node.config, "", lambda: NOW)
    assert settings["mqtt_external"] == "tcp://127.0.0.1:1883"
    assert (settings["mqtt_users"], settings["mqtt_rules"]) == (False, False)
    assert settings["cgroup_driver"] == "systemd"
    assert bare("rubbish") == "rubbish"


def test_pods_are_read_from_edgecore_s_store_without_leaving_files(tmp_path: Path) -> None:
    path = tmp_path / "edgecore.db"
    assert known_pods(path) is None
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE meta (key text PRIMARY KEY, type text, value text)")
        pod = json.dumps({"metadata": {"uid": "u1"}})
        file.executemany("INSERT INTO meta VALUES (?, ?, ?)", [("a", "pod", pod), ("b", "node", "{}")])
    file.close()
    assert known_pods(path) == {"u1"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["edgecore.db"]
    path.write_bytes(b"no database at all")
    assert known_pods(path) is None


def test_the_command_line_answers_in_json_and_in_words(node: NodeFiles, keadm: Keadm) -> None:
    status, answer = keadm("diagnose", "node", "--config", node.config)
    assert status == 0
    assert answer["counts"]["failed"] == 1
    assert {"code", "status", "subject", "found", "fix"} == set(answer["checks"][0])


def test_install_names_what_stands_in_the_way_of_joining(keadm: Keadm, tmp_path: Path) -> None:
    token = tmp_path / "token"
    ca = CertificateAuthority.create("KubeEdge")
    token.write_text(make(ca.cert_der, ca.key_der, NOW.replace(year=2020)))
    options = ("-e", "127.0.0.1:1", "-s", "1", "-i", "Edge_1", "--token-file", token)
    status, answer = keadm("diagnose", "install", *options, "-p", f"unix://{tmp_path}/none.sock")
    assert status == 0
    states = {(one["code"], one["status"]) for one in answer["checks"]}
    assert states >= {
        ("HOST-NAME", "failed"),
        ("EDGE-CLOUD-PORTS", "failed"),
        ("EDGE-CLOUD-TUNNEL", "warning"),
        ("EDGE-TOKEN", "failed"),
        ("EDGE-CLOUD-CA", "unknown"),
        ("EDGE-RUNTIME-READY", "failed"),
    }
    assert name("edge1").status == "ok"


def test_the_port_of_the_tunnel_is_tried_where_one_is_wanted(node: NodeFiles) -> None:
    assert "edgeStream is off" in node.find("EDGE-CLOUD-TUNNEL").found
    with socket.create_server(("127.0.0.1", 0)) as cloud:
        server = f"127.0.0.1:{cloud.getsockname()[1]}"
        node.document["modules"]["edgeStream"] = {"enable": True, "server": server}
        one = node.find("EDGE-CLOUD-TUNNEL")
        assert (one.status, one.subject, one.fix) == ("ok", server, "")
    one = node.find("EDGE-CLOUD-TUNNEL")
    assert (one.status, one.subject) == ("failed", server)
    assert "Connection refused" in one.found
    assert "cloudStream" in one.fix


def test_a_host_that_is_to_join_is_told_whether_there_will_be_a_tunnel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as cloud:
        port = cloud.getsockname()[1]
        assert expected("127.0.0.1", port).status == "ok"
    one = expected("127.0.0.1", port)
    assert (one.code, one.status) == ("EDGE-CLOUD-TUNNEL", "warning")
    assert "--set modules.edgeStream.enable=false" in one.fix
    assert expected("::1", port).subject == f"[::1]:{port}"
