"""`keadm join` on a host of its own; CloudCore's HTTPS port is played, starting EdgeCore has its effect."""

from __future__ import annotations

import base64
import datetime as dt
import importlib.util
import json
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.keadm.cloud_port import CloudPort, serve
from tests.keadm.conftest import Keadm
from tests.keadm.host import Host
from typer.testing import CliRunner

from edgelab.identity import token
from edgelab.identity.ca import CertificateAuthority
from edgelab.keadm.__main__ import app
from edgelab.keadm.joining import load_settings

CA = CertificateAuthority.create("KubeEdge")
OTHER = CertificateAuthority.create("Another")
CONFIG = "/etc/kubeedge/config/edgecore.yaml"
UNIT = "/etc/systemd/system/edgecore.service"
BOOTSTRAP = "/etc/kubeedge/bootstrap-edgecore.conf"


def made(node: str = "", hours: float = 1, ca: CertificateAuthority = CA) -> str:
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    return token.make(ca.cert_der, ca.key_der, expires, token_id="a" if node else "", node=node)


TOKEN = made()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudPort]:
    with serve(CA, tmp_path, ["127.0.0.1"]) as cloud:
        yield cloud


@pytest.fixture
def runtime(host: Host) -> Iterator[str]:
    """A socket where a container runtime could be."""
    path = host.path("/run/c.sock")
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        yield "unix:///run/c.sock"


@pytest.fixture
def edge(host: Host) -> Host:
    """A host with the runtime, whose EdgeCore gets its certificate once it runs."""
    host.install("1", "edgecore")
    host.units.on["start edgecore"] = lambda: enrol(host, "edge7")
    return host


def enrol(host: Host, node: str, ca: CertificateAuthority = CA) -> None:
    pair = ca.issue(common_name=f"system:node:{node}", organization="system:nodes", client=True)
    files = {
        "ca/rootCA.crt": ca.cert_pem,
        "certs/server.crt": pair.cert_pem,
        "certs/server.key": pair.key_pem,
    }
    for name, data in files.items():
        path = host.path(f"/etc/kubeedge/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def words(cloud: CloudPort, runtime: str, *more: str) -> list[str]:
    where = ["-e", f"127.0.0.1:{cloud.port}", "-s", str(cloud.port), "-i", "edge7", "-p", runtime]
    return ["join", *where, *more]


def settings(host: Host) -> dict[str, dict[str, object]]:
    modules: dict[str, dict[str, object]] = yaml.safe_load(host.path(CONFIG).read_text())["modules"]
    return modules


def test_join_writes_settings_hands_the_token_over_and_starts_edgecore(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    call = words(cloud, runtime, "--node-ip", "127.0.0.1", "--labels", "zone=a,tier=edge")
    status, answer = keadm(*call, stdin=TOKEN + "\n")
    assert (status, answer["changed"]) == (0, True), answer
    modules = yaml.safe_load(edge.path(CONFIG).read_text())["modules"]
    assert modules["edged"]["hostnameOverride"] == "edge7"
    assert modules["edged"]["nodeIP"] == "127.0.0.1"
    assert modules["edged"]["nodeLabels"] == {"zone": "a", "tier": "edge"}
    assert modules["edged"]["tailoredKubeletConfig"]["containerRuntimeEndpoint"] == runtime
    assert modules["edgeHub"]["websocket"]["server"] == f"127.0.0.1:{cloud.port}"
    assert modules["edgeHub"]["httpServer"] == f"https://127.0.0.1:{cloud.port}"
    assert modules["edgeStream"] == {"server": "127.0.0.1:10004", "enable": True}
    assert "ExecStart=/opt/edgelab/current/bin/edgecore" in edge.path(UNIT).read_text()
    assert edge.units.calls == ["daemon-reload", "enable edgecore", "start edgecore"]
    assert not edge.path(BOOTSTRAP).exists()
    assert TOKEN not in json.dumps(answer)
    assert TOKEN not in edge.path(CONFIG).read_text()


def test_streams_are_off_when_they_are_not_wanted_and_a_file_that_is_there_says_itself(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    call = words(cloud, runtime)
    status, answer = keadm(*call, "--set", "modules.edgeStream.enable=false", stdin=TOKEN)
    assert status == 0
    assert "edgeStream" not in json.dumps(answer["warnings"])
    assert settings(edge)["edgeStream"]["enable"] is False
    cloud.nodes.add("edge7")
    assert keadm(*call)[1]["changed"] is False
    without = yaml.safe_load(edge.path(CONFIG).read_text())
    del without["modules"]["edgeStream"]
    edge.path(CONFIG).write_text(yaml.safe_dump(without))
    assert keadm(*call)[0] == 0
    assert "enable" not in settings(edge)["edgeStream"]


def test_a_cloud_without_a_tunnel_is_named_and_the_node_joins(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    status, answer = keadm(
        *words(cloud, runtime, "--set", "modules.edgeStream.server=127.0.0.1:1"), stdin=TOKEN
    )
    assert status == 0, answer
    [warning] = [text for text in answer["warnings"] if "edgeStream" in text]
    assert "no connection to 127.0.0.1:1 (Connection refused)" in warning
    assert "--set modules.edgeStream.enable=false" in warning


def test_a_node_that_runs_no_pods_and_trusts_another_file_gets_settings_that_go_together(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    more = ("--set", "modules.edgeHub.tlsCaFile=/ca.crt", "--set", "modules.edged.enable=false")
    keadm(*words(cloud, runtime, *more, "--no-start"), stdin=TOKEN)
    stream = settings(edge)["edgeStream"]
    assert (stream.get("enable"), stream["tlsTunnelCAFile"]) == (None, "/ca.crt")


def test_a_node_that_is_to_use_quic_gets_no_websocket_and_a_second_run_changes_nothing(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    call = words(cloud, runtime, "--hub-protocol", "quic")
    call[call.index("-e") + 1] = "127.0.0.1:1"  # where nobody listens by TCP
    assert keadm(*call, stdin=TOKEN)[0] == 0
    hub = load_settings(edge.path(CONFIG)).modules.edgeHub
    assert (hub.quic.enable, hub.quic.server, hub.websocket.enable) == (True, "127.0.0.1:1", False)
    cloud.nodes.add("edge7")
    assert keadm(*call)[1]["changed"] is False


def test_quic_without_its_package_is_refused_with_the_way_to_get_it(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, answer = keadm(*words(cloud, runtime, "--hub-protocol", "quic"), stdin=TOKEN)
    assert status == 1
    assert "-m pip install 'aioquic" in json.dumps(answer)
    assert not edge.path(CONFIG).exists()


def test_a_second_run_changes_nothing_and_needs_no_token(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    assert keadm(*words(cloud, runtime), stdin=TOKEN)[0] == 0
    cloud.nodes.add("edge7")
    before, edge.units.calls = edge.files(), []
    status, answer = keadm(*words(cloud, runtime))
    assert (status, answer["changed"]) == (0, False), answer
    assert (edge.files(), edge.units.calls) == (before, [])


def test_a_changed_setting_restarts_edgecore(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    keadm(*words(cloud, runtime), stdin=TOKEN)
    edge.units.calls = []
    status, _ = keadm(*words(cloud, runtime, "--set", "modules.edgeHub.heartbeat=20"))
    assert (status, edge.units.calls) == (0, ["restart edgecore"])
    assert settings(edge)["edgeHub"]["heartbeat"] == 20


def test_a_dry_run_tells_every_step_and_changes_nothing(edge: Host, cloud: CloudPort, runtime: str) -> None:
    before = edge.files()
    call = words(cloud, runtime, "--dry-run", "--set", "modules.eventBus.mqttMode=0")
    call += ["--set", f"modules.edgeStream.server=127.0.0.1:{cloud.port}"]
    done = CliRunner().invoke(app, call, input=TOKEN)
    assert (edge.files(), edge.units.calls) == (before, [])
    told = done.stdout.replace(str(edge.root), "").replace(str(cloud.port), "PORT").splitlines()
    assert told == [
        f"configuration: {CONFIG} is written (dry run)",
        f"token: the join token goes into {BOOTSTRAP} (dry run)",
        "runtime: as it should be",
        f"unit: {UNIT} is written (dry run)",
        "environment: as it should be",
        "boot: edgecore starts at boot (dry run)",
        "start: edgecore is started (dry run)",
        "certificate: wait for the node's certificate (dry run)",
        "token away: as it should be",
        "dry run: nothing was changed; node edge7 has its certificate and joins 127.0.0.1",
    ]


def test_without_starting_only_settings_and_token_are_written(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    before = set(edge.files())
    assert keadm(*words(cloud, runtime, "--no-start"), stdin=TOKEN)[0] == 0
    assert set(edge.files()) - before == {CONFIG[1:], BOOTSTRAP[1:]}
    assert edge.path(BOOTSTRAP).read_text().strip() == TOKEN
    assert stat.S_IMODE(edge.path(BOOTSTRAP).stat().st_mode) == 0o600


def test_the_words_of_the_tutorials_are_taken(edge: Host, cloud: CloudPort, runtime: str) -> None:
    address = f"127.0.0.1:{cloud.port}"
    call = ["join", f"--cloudcore-ipport={address}", "--token", TOKEN, "--edgenode-name=edge7"]
    call += ["--kubeedge-version=v1.12.1", f"--certport={cloud.port}", "--with-mqtt", "--runtimetype=remote"]
    call += [f"--remote-runtime-endpoint={runtime}", "--image-repository=registry.local/kubeedge"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert "--token shows the token to every user" in done.stdout
    assert "--kubeedge-version v1.12.1 has no effect" in done.stdout
    assert "--with-mqtt has no effect" in done.stdout
    assert settings(edge)["edged"]["podSandboxImage"] == "registry.local/kubeedge/pause:3.6"


def test_scripts_run_before_and_after_and_one_that_fails_ends_the_join(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str, tmp_path: Path
) -> None:
    pre, post = tmp_path / "pre.sh", tmp_path / "post.sh"
    post.write_text(f"echo done > {tmp_path}/after")
    pre.write_text("echo no room >&2; exit 3")
    call = words(cloud, runtime, "--pre-run", str(pre), "--post-run", str(post))
    status, answer = keadm(*call, stdin=TOKEN)
    assert (status, answer["error"]) == (1, f"--pre-run {pre} ended with status 3: no room")
    assert not edge.path(CONFIG).exists()
    pre.write_text("exit 0")
    assert keadm(*call, stdin=TOKEN)[0] == 0
    assert (tmp_path / "after").read_text() == "done\n"


def test_both_daemons_on_one_host_keep_the_shell_s_word(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECK_EDGECORE_ENVIRONMENT", "false")
    assert keadm(*words(cloud, runtime), stdin=TOKEN)[0] == 0
    assert edge.path("/etc/default/edgecore").read_text() == "CHECK_EDGECORE_ENVIRONMENT=false\n"


def test_a_keadm_of_another_place_becomes_the_runtime(
    keadm: Keadm, host: Host, cloud: CloudPort, runtime: str
) -> None:
    host.units.on["start edgecore"] = lambda: enrol(host, "edge7")
    assert keadm(*words(cloud, runtime), stdin=TOKEN)[0] == 0
    assert host.path("/opt/edgelab/current").readlink() == Path(sys.prefix)


@pytest.mark.parametrize("found", ["true", "false"])
def test_the_cgroup_driver_is_the_runtime_s(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str, found: str
) -> None:
    toml = edge.path("/etc/containerd/config.toml")
    toml.parent.mkdir(parents=True)
    toml.write_text(
        f'[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\nSystemdCgroup = {found}\n'
    )
    own, other = ("systemd", "cgroupfs") if found == "true" else ("cgroupfs", "systemd")
    status, answer = keadm(*words(cloud, runtime, "--cgroupdriver", other), stdin=TOKEN)
    assert status == 1
    assert f"--cgroupdriver {other}, but the container runtime uses {own}" in answer["error"]
    assert keadm(*words(cloud, runtime), stdin=TOKEN)[0] == 0
    kubelet = yaml.safe_load(edge.path(CONFIG).read_text())["modules"]["edged"]["tailoredKubeletConfig"]
    assert kubelet["cgroupDriver"] == own


def test_docker_is_chosen_with_its_socket_and_its_cgroup_driver(
    keadm: Keadm, edge: Host, cloud: CloudPort
) -> None:
    path = edge.path("/var/run/docker.sock")
    path.parent.mkdir(parents=True)
    daemon = edge.path("/etc/docker/daemon.json")
    daemon.parent.mkdir(parents=True)
    daemon.write_text('{"exec-opts": ["native.cgroupdriver=systemd"]}')
    call = words(cloud, "unix:///run/containerd/containerd.sock", "--runtimetype", "docker")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        status, answer = keadm(*call, "--cgroupdriver", "cgroupfs", stdin=TOKEN)
        assert (status, "the container runtime uses systemd" in answer["error"]) == (1, True)
        assert keadm(*call, stdin=TOKEN)[0] == 0
    written = yaml.safe_load(edge.path(CONFIG).read_text())
    assert written["edgelab"]["runtimeType"] == "docker"
    kubelet = written["modules"]["edged"]["tailoredKubeletConfig"]
    assert kubelet["containerRuntimeEndpoint"] == "unix:///var/run/docker.sock"
    assert kubelet["cgroupDriver"] == "systemd"


def test_docker_s_own_choice_of_cgroups_is_known(tmp_path: Path) -> None:
    from edgelab.keadm.runtime_config import docker_cgroup_driver

    there = tmp_path / "cgroup.controllers"
    assert docker_cgroup_driver(tmp_path / "none", there) == "cgroupfs"
    there.touch()
    assert docker_cgroup_driver(tmp_path / "none", there) == "systemd"


@pytest.mark.parametrize(
    "case",
    [
        ({"stdin": "not a token"}, "holds no join token"),
        ({"stdin": base64.b64encode(TOKEN.encode()).decode()}, "decode it (`... | base64 -d`)"),
        ({"stdin": made(node="edge8")}, "the token is for node 'edge8', and this node is to be 'edge7'"),
        ({"stdin": made(hours=-1)}, "the token expired at"),
        ({"stdin": made(ca=OTHER)}, "the token is of another cloud"),
        ({"-p": "unix:///nowhere.sock"}, "nowhere.sock: install and start containerd"),
        ({"-s": "1"}, "CloudCore does not answer at https://127.0.0.1:1"),
        ({"-e": "127.0.0.1:1"}, "CloudCore's port 127.0.0.1:1 is closed"),
        ({"-e": "cloud"}, "expected host:port"),
        ({"-i": "taken"}, "a node 'taken' exists already"),
        ({"-i": "Edge_7"}, "'Edge_7' is no DNS label"),
        ({"--label": "a b"}, "expected key=value"),
        ({"--node-ip": "192.0.2.77"}, "--node-ip 192.0.2.77: this host has no such address"),
        ({"--set": "modules.edgeHub.hartbeat=1"}, "did you mean heartbeat?"),
        ({"--set": "heartbeat"}, "expected key.of.the.setting=value"),
        ({"--hub-protocol": "gquic"}, "expected websocket or quic"),
        ({"--runtimetype": "lxc"}, "expected remote (containerd, CRI-O) or docker"),
    ],
)
def test_what_stands_in_the_way_is_named_before_anything_is_written(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str, case: tuple[dict[str, str], str]
) -> None:
    change, told = case
    call = words(cloud, runtime)
    for option, value in change.items():
        if option in call:
            call[call.index(option) + 1] = value
        elif option != "stdin":
            call += [option, value]
    before = edge.files()
    status, answer = keadm(*call, stdin=change.get("stdin", TOKEN))
    assert status == 1
    assert told in answer["error"]
    assert (edge.files(), edge.units.calls) == (before, [])


def test_a_machine_takes_the_place_of_one_that_is_gone_when_it_is_told_to(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    call = words(cloud, runtime)
    call[call.index("-i") + 1] = "taken"
    status, answer = keadm(*call, stdin=TOKEN)
    assert (status, "or add --replace if its machine is gone" in answer["error"]) == (1, True)
    status, answer = keadm(*call, "--replace", stdin=TOKEN)
    assert (status, answer.get("node")) == (0, "taken"), answer


def test_an_address_that_the_certificate_does_not_name_is_refused_with_the_fix(
    keadm: Keadm, edge: Host, tmp_path: Path, runtime: str
) -> None:
    with serve(CA, tmp_path, ["192.0.2.1"]) as cloud:
        status, answer = keadm(*words(cloud, runtime), stdin=TOKEN)
    assert status == 1
    assert "does not name 127.0.0.1, only 192.0.2.1" in answer["error"]
    assert "keadm cert ensure --address 127.0.0.1" in answer["error"]


def test_a_clock_that_is_wrong_is_named(keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str) -> None:
    cloud.skew = 3600
    status, answer = keadm(*words(cloud, runtime), stdin=TOKEN)
    assert status == 1
    assert "clock is 60 minutes behind CloudCore's" in answer["error"]
    assert "timedatectl" in answer["error"]


def test_a_host_that_is_another_node_or_of_another_cloud_is_refused(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    assert keadm(*words(cloud, runtime), stdin=TOKEN)[0] == 0
    enrol(edge, "edge6")
    status, answer = keadm(*words(cloud, runtime), stdin=TOKEN)
    assert (status, "this host is node 'edge6' already" in answer["error"]) == (1, True)
    enrol(edge, "edge7", OTHER)
    status, answer = keadm(*words(cloud, runtime), stdin=TOKEN)
    assert (status, "is of another cloud: `keadm reset edge` first" in answer["error"]) == (1, True)


def test_an_edgecore_that_gets_no_certificate_in_time_is_told_of(
    keadm: Keadm, edge: Host, cloud: CloudPort, runtime: str
) -> None:
    edge.units.on.clear()
    status, answer = keadm(*words(cloud, runtime, "--timeout", "1"), stdin=TOKEN)
    assert (status, answer["step"]) == (1, "certificate")
    assert "journalctl -u edgecore" in answer["error"]
    assert edge.path(BOOTSTRAP).exists()


def test_a_machine_without_wheels_is_refused() -> None:
    from edgelab.keadm.preflight import architecture
    from edgelab.keadm.report import Failure

    architecture("aarch64")
    with pytest.raises(Failure, match="this host is a mips64: edgelab is built for x86_64, aarch64, armv7l"):
        architecture("mips64")


def test_whoever_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgelab.keadm.machine import Machine
    from edgelab.keadm.report import Failure

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Failure, match="keadm join needs root: run it with sudo"):
        Machine().must_be_root("keadm join")
