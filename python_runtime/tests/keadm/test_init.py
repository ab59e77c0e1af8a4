"""`keadm init` against a small API server, on a host of its own; starting CloudCore has its effect."""

from __future__ import annotations

import base64
import json
import socket
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.keadm.api_server import ApiServer
from tests.keadm.cloud_port import CloudPort, serve
from tests.keadm.conftest import Keadm
from tests.keadm.host import Host
from typer.testing import CliRunner

from edgelab.identity.ca import CertificateAuthority
from edgelab.keadm.__main__ import app
from edgelab.keadm.cloud import crds

CONFIG = "/etc/kubeedge/config/cloudcore.yaml"
UNIT = "/etc/systemd/system/cloudcore.service"
CA_SECRET = "/api/v1/namespaces/kubeedge/secrets/casecret"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def monitor() -> Iterator[int]:
    """CloudCore's /healthz."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudPort]:
    with serve(CertificateAuthority.create("KubeEdge"), tmp_path, ["127.0.0.1"]) as cloud:
        yield cloud


@pytest.fixture
def host(host: Host) -> Host:
    host.install("1", "cloudcore")
    return host


@pytest.fixture
def call(kube_config: Path, cloud: CloudPort, monitor: int, host: Host) -> list[str]:
    """What works; the port of CloudCore's HTTPS is taken by its stand-in, so its unit counts as running."""
    host.units.running.add("cloudcore")
    where = ["init", "--kube-config", str(kube_config), "--advertise-address", "192.0.2.1,2001:db8::1"]
    ports = (
        f"modules.cloudHub.https.port={cloud.port},commonConfig.monitorServer.bindAddress=127.0.0.1:{monitor}"
    )
    return [*where, "--set", ports]


def test_init_prepares_the_cluster_and_runs_cloudcore(
    keadm: Keadm, call: list[str], server: ApiServer, host: Host, kube_config: Path
) -> None:
    status, answer = keadm(*call, "--dns-name", "cloud.example")
    assert (status, answer["changed"]) == (0, True), answer
    defined = {path.rpartition("/")[2] for path in server.objects if "customresourcedefinitions" in path}
    assert defined == {one["metadata"]["name"] for one in crds()}
    assert "nodegroups.apps.kubeedge.io" in defined
    assert base64.b64decode(server.objects[CA_SECRET]["data"]["cadata"])
    written = yaml.safe_load(host.path(CONFIG).read_text())
    assert written["kubeAPIConfig"]["kubeConfig"] == str(kube_config)
    hub = written["modules"]["cloudHub"]
    assert hub["advertiseAddress"] == ["192.0.2.1", "2001:db8::1"]
    assert hub["dnsNames"] == ["cloud.example"]
    assert hub["tlsCAFile"] == ""
    assert written["modules"]["cloudStream"] == {"enable": True}
    assert "ExecStart=/opt/edgelab/current/bin/cloudcore" in host.path(UNIT).read_text()
    assert host.units.calls == ["daemon-reload", "enable cloudcore", "restart cloudcore"]


def test_a_second_run_changes_nothing(keadm: Keadm, call: list[str], server: ApiServer, host: Host) -> None:
    assert keadm(*call)[0] == 0
    before, host.units.calls, server.writes = host.files(), [], []
    status, answer = keadm(*call)
    assert (status, answer["changed"]) == (0, False), answer
    assert (host.files(), host.units.calls, server.writes) == (before, [], [])


def test_streams_are_off_when_they_are_not_wanted_and_a_file_that_is_there_says_itself(
    keadm: Keadm, call: list[str], host: Host
) -> None:
    assert keadm(*call, "--set", "modules.cloudStream.enable=false")[0] == 0
    config = host.path(CONFIG)
    assert yaml.safe_load(config.read_text())["modules"]["cloudStream"] == {"enable": False}
    assert keadm(*call)[1]["changed"] is False
    settings = yaml.safe_load(config.read_text())
    del settings["modules"]["cloudStream"]
    config.write_text(yaml.safe_dump(settings))
    assert keadm(*call)[0] == 0
    assert "cloudStream" not in yaml.safe_load(config.read_text())["modules"]


def test_a_tunnel_port_that_is_taken_is_told_before_anything_is_changed(
    keadm: Keadm, call: list[str], server: ApiServer, host: Host
) -> None:
    host.units.running.clear()
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        status, answer = keadm(*call, "--set", f"modules.cloudStream.tunnelPort={port}")
        assert status == 1
        assert f"port {port} is taken" in json.dumps(answer)
        assert not host.path(CONFIG).exists()


def test_another_address_makes_a_new_certificate_and_restarts(
    keadm: Keadm, call: list[str], host: Host
) -> None:
    keadm(*call)
    host.units.calls = []
    call[call.index("--advertise-address") + 1] = "192.0.2.9"
    _, answer = keadm(*call)
    done = {step["name"]: step["what"] for step in answer["steps"] if step["action"] == "done"}
    assert set(done) == {"certificates", "configuration", "start"}
    assert done["certificates"] == "new in the Secrets: cloudcore"
    assert host.units.calls == ["restart cloudcore"]


def test_a_dry_run_tells_every_step_and_changes_nothing(
    call: list[str], server: ApiServer, host: Host
) -> None:
    before = host.files()
    done = CliRunner().invoke(app, [*call, "--dry-run"])
    assert (host.files(), host.units.calls, server.writes) == (before, [], [])
    told = [line.replace(str(host.root), "") for line in done.stdout.splitlines()]
    assert told[0].startswith("cluster: applied: Namespace kubeedge, CustomResourceDefinition ")
    assert told[1:] == [
        "certificates: new in the Secrets: ca, cloudcore (dry run)",
        f"configuration: {CONFIG} is written (dry run)",
        "runtime: as it should be",
        f"unit: {UNIT} is written (dry run)",
        "boot: cloudcore starts at boot (dry run)",
        "start: cloudcore is restarted (dry run)",
        "ready: as it should be",
        "dry run: nothing was changed; CloudCore serves 192.0.2.1:10000;"
        " `keadm join-command --node NAME` lets a node join",
    ]


def test_values_of_the_chart_are_settings_or_told_to_have_no_effect(
    keadm: Keadm, call: list[str], host: Host, tmp_path: Path
) -> None:
    profile = tmp_path / "values.yaml"
    profile.write_text(
        "cloudCore: {replicaCount: 2, modules: {router: {enable: true}}}\nmosquitto: {enable: true}"
    )
    values = "cloudCore.modules.cloudHub.nodeLimit=77,iptablesManager.mode=external"
    status, answer = keadm(*call, "--set", values, "--profile", profile, "--kubeedge-version=v1.9.2")
    assert status == 0, answer
    modules = yaml.safe_load(host.path(CONFIG).read_text())["modules"]
    assert modules["cloudHub"]["nodeLimit"] == 77
    assert modules["router"]["enable"] is True
    assert modules["iptablesManager"]["mode"] == "external"
    words = "\n".join(answer["warnings"])
    assert "cloudCore.replicaCount has no effect" in words
    assert "mosquitto has no effect" in words
    assert "--kubeedge-version v1.9.2 has no effect" in words


def test_manifests_are_applied_too(keadm: Keadm, call: list[str], server: ApiServer, tmp_path: Path) -> None:
    manifest = tmp_path / "m.yaml"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own"}}))
    assert keadm(*call, "--manifests", manifest)[0] == 0
    assert any(path.endswith("/configmaps/own") for path in server.objects)


def test_a_kubeconfig_in_a_home_is_copied_with_its_files_to_where_the_unit_sees_it(
    keadm: Keadm, call: list[str], host: Host, kube_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgelab.keadm.initialising.HOMES", (kube_config.parent,))
    (kube_config.parent / "client.key").write_text("KEY")
    document = json.loads(kube_config.read_text())
    document["users"] = [{"name": "other", "user": {"client-key": "client.key"}}]
    kube_config.write_text(json.dumps(document))
    assert keadm(*call)[0] == 0
    own = host.path("/etc/kubeedge/cloudcore.kubeconfig")
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    user = yaml.safe_load(own.read_text())["users"][0]["user"]
    assert user == {"client-key-data": base64.b64encode(b"KEY").decode()}
    assert yaml.safe_load(host.path(CONFIG).read_text())["kubeAPIConfig"]["kubeConfig"] == str(own)
    assert keadm(*call)[1]["changed"] is False


def test_only_the_cluster_leaves_the_host_alone(keadm: Keadm, call: list[str], host: Host) -> None:
    before = host.files()
    status, answer = keadm(*call, "--cluster-only")
    assert (status, answer["changed"]) == (0, True)
    assert {one["kind"] for one in answer["objects"]} == {"Namespace", "CustomResourceDefinition"}
    assert (host.files(), host.units.calls) == (before, [])


def test_a_port_that_is_taken_is_named_before_anything_is_done(
    keadm: Keadm, call: list[str], host: Host, server: ApiServer, cloud: CloudPort
) -> None:
    host.units.running.clear()
    status, answer = keadm(*call)
    assert status == 1
    assert f"port {cloud.port} is taken" in answer["error"]
    assert server.writes == []
    assert keadm(*call, "--force")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--advertise-address", "cloud"], "--advertise-address 'cloud' is no IP address"),
        (["--set", "modules.cloudHub.nodelimmit=3"], "did you mean nodeLimit?"),
        (["--set", "cloudcore.x=3"], "is neither a setting of cloudcore.yaml"),
        (["--profile", "none.yaml"], "expected version=v1.x or a file"),
        (["--external-helm-root", "/charts"], "there is no Helm chart here"),
        (["--kube-config", "/none"], "there is no kubeconfig /none"),
    ],
)
def test_what_cannot_work_is_named_and_nothing_is_written(
    keadm: Keadm, call: list[str], host: Host, words: list[str], told: str
) -> None:
    before = host.files()
    status, answer = keadm(*call, *words)
    assert status == 1
    assert told in answer["error"]
    assert (host.files(), host.units.calls) == (before, [])


def test_a_cloudcore_that_does_not_serve_fails_with_where_to_look(
    keadm: Keadm, call: list[str], host: Host
) -> None:
    closed = free_port()
    words: list[Any] = [
        "--set",
        f"commonConfig.monitorServer.bindAddress=127.0.0.1:{closed}",
        "--timeout",
        "1",
    ]
    status, answer = keadm(*call, *words)
    assert (status, answer["step"]) == (1, "ready")
    assert f"127.0.0.1:{closed}/healthz does not answer" in answer["error"]
    assert "journalctl -u cloudcore" in answer["error"]
