"""`keadm debug`: objects out of the node's database, checks of the host, pods that fail, the archive."""

from __future__ import annotations

import json
import socket
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.keadm import node_store
from tests.keadm.conftest import Keadm
from tests.keadm.host import Host
from typer.testing import CliRunner

from edgelab.keadm import host_checks
from edgelab.keadm.__main__ import app
from edgelab.keadm.collecting import scrubbed
from edgelab.keadm.host_checks import Targets, ask, room

DATABASE = "/var/lib/kubeedge/edgecore.db"
CONFIG = "/etc/kubeedge/config/edgecore.yaml"
TOKEN = "0" * 64 + ".eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl"


@pytest.fixture
def node(host: Host) -> Host:
    node_store.write(host.path(DATABASE))
    return host


def debug(*words: str) -> list[str]:
    done = CliRunner().invoke(app, ["debug", *words])
    assert done.exit_code == 0, done.output
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_pods_are_listed_with_the_status_that_the_node_reported(node: Host) -> None:
    lines = debug("get", "pods", "-A", "-o", "wide")
    assert lines[0] == "NAMESPACE NAME READY STATUS RESTARTS AGE IP NODE"
    rows = {line.split()[1]: line.split() for line in lines[1:]}
    assert set(rows) == {"web", "bad", "new"}
    assert rows["web"][2:5] == ["1/1", "Running", "2"]
    assert rows["web"][-2:] == ["10.0.0.5", "edge1"]
    assert rows["bad"][2:5] == ["0/1", "CrashLoopBackOff", "4"]
    assert rows["new"][:4] == ["other", "new", "0/1", "Unknown"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("pod",), ["bad", "web"]),
        (("pod", "-n", "other"), ["new"]),
        (("po", "web"), ["web"]),
        (("pod", "-A", "-l", "app in (web,x)"), ["web"]),
        (("node",), ["edge1"]),
        (("svc",), ["svc"]),
        (("cm",), ["c"]),
        (("all",), ["bad", "web", "svc", "s", "c"]),
    ],
)
def test_namespace_name_and_labels_choose(node: Host, words: tuple[str, ...], names: list[str]) -> None:
    done = CliRunner().invoke(app, ["debug", "get", *words, "-o", "json"])
    answer = json.loads(done.stdout)
    assert answer["kind"] == "List"
    assert [item["metadata"]["name"] for item in answer["items"]] == names


def test_each_kind_has_kubectl_s_columns(node: Host) -> None:
    assert debug("get", "node")[1].split()[:3] == ["edge1", "Ready", "v1.32-kubeedge-1.23"]
    assert debug("get", "service")[1].split()[:4] == ["svc", "ClusterIP", "None", "18050/TCP"]
    assert debug("get", "configmap")[1].split()[:2] == ["c", "2"]
    assert debug("get", "secret")[1].split()[:3] == ["s", "Opaque", "1"]
    assert debug("get", "lease") == ["no such objects on this node"]


def test_values_of_secrets_are_shown_only_when_asked_for(node: Host) -> None:
    hidden = yaml.safe_load("\n".join(CliRunner().invoke(app, SECRET).stdout.splitlines()))
    assert hidden["items"][0]["data"] == {"k": "********"}
    shown = yaml.safe_load(CliRunner().invoke(app, [*SECRET, "--show-secrets"]).stdout)
    assert shown["items"][0]["data"] == {"k": "aGlkZGVu"}
    assert shown["items"][0]["kind"] == "Secret"


SECRET = ["debug", "get", "secret", "-o", "yaml"]


def test_the_database_is_the_configured_one_and_is_only_read(host: Host) -> None:
    path = node_store.write(host.path("/data/edge.db"))
    host.path(CONFIG).parent.mkdir(parents=True)
    host.path(CONFIG).write_text("database: {dataSource: /data/edge.db}")
    before = (path.read_bytes(), sorted(path.parent.iterdir()))
    assert debug("get", "pod")[1].split()[0] == "bad"
    assert (path.read_bytes(), sorted(path.parent.iterdir())) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("get", "gadget"), "'gadget' is no kind that an edge node stores: pod, node"),
        (("get", "pod", "none"), "there is no pod 'none'"),
        (("get", "pod", "-l", "a in"), "--selector 'a in'"),
        (("get", "pod", "-p", "/none.db"), "none.db: EdgeCore has not run here yet"),
        (("check", "everything"), "no such check: everything; there are arch, cpu"),
        (("check", "network", "-s", "cloud"), "expected host:port"),
        (("diagnose", "pod", "none"), "it is not scheduled to this node"),
    ],
)
def test_what_cannot_be_answered_is_told(node: Host, words: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(app, ["debug", *words])
    assert done.exit_code == 1
    assert told in done.output


def test_a_pod_that_does_not_run_is_explained_with_a_fix(keadm: Keadm, node: Host) -> None:
    status, answer = keadm("debug", "diagnose", "pod", "bad")
    assert status == 0
    found = [(one["code"], one["status"]) for one in answer["checks"]]
    assert found == [("POD-CONTAINER", "failed"), ("POD-CONTAINER", "failed")]
    assert "CrashLoopBackOff: back-off 40s" in answer["checks"][0]["found"]
    assert "kubectl logs --previous" in answer["checks"][0]["fix"]
    assert "ended with status 3 (Error): no such table" in answer["checks"][1]["found"]
    assert keadm("diagnose", "pod", "web")[1]["counts"]["ok"] == 1
    assert keadm("debug", "diagnose", "pod", "-n", "other")[1]["checks"][0]["code"] == "POD-STATUS"


def proc(directory: Path, load: str = "0.10 0.1 0.1 1/200 9", **memory: int) -> Path:
    sizes = {"MemTotal": 1 << 20, "MemAvailable": 1 << 19, **memory}
    (directory / "sys/kernel").mkdir(parents=True)
    (directory / "sys/kernel/pid_max").write_text("1000\n")
    (directory / "loadavg").write_text(load)
    (directory / "meminfo").write_text("".join(f"{name}: {size} kB\n" for name, size in sizes.items()))
    return directory


def test_limits_are_kubeedge_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    good = Targets(proc=proc(tmp_path / "good"), disk=tmp_path / "not" / "there")
    for check in (host_checks.cpu, host_checks.mem, host_checks.pid):
        assert [one.status for one in check(good)] == ["ok"]
    assert str(tmp_path) in host_checks.disk(good)[0].found
    bad = Targets(proc=proc(tmp_path / "bad", "1.9 1 1 1/951 9", MemTotal=200 << 10, MemAvailable=150 << 10))
    assert host_checks.cpu(bad)[0].status == "warning"
    assert host_checks.mem(bad)[0].status == "failed"
    assert "951 of 1000" in host_checks.pid(bad)[0].found
    assert host_checks.pid(bad)[0].status == "failed"
    mib = 1 << 20
    assert room("C", "x", 1024 * mib, 511 * mib, (1024, 512)).status == "failed"
    assert room("C", "x", 8000 * mib, 700 * mib, (1024, 512)).status == "warning"
    assert room("C", "x", 1024 * mib, 512 * mib, (1024, 512)).status == "ok"


def test_a_machine_without_wheels_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "mips64")
    assert host_checks.arch(Targets())[0].status == "failed"


def test_cloudcore_s_ports_are_those_of_the_configuration(keadm: Keadm, host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        hub = {"websocket": {"server": f"127.0.0.1:{port}"}, "httpServer": "https://127.0.0.1:1"}
        host.path(CONFIG).parent.mkdir(parents=True)
        host.path(CONFIG).write_text(yaml.safe_dump({"modules": {"edgeHub": hub}}))
        status, answer = keadm("debug", "check", "network", "dns")
    found = {one["subject"]: one["status"] for one in answer["checks"]}
    assert (status, found) == (1, {f"127.0.0.1:{port}": "ok", "127.0.0.1:1": "failed", "": "ok"})


def test_the_port_of_the_tunnel_is_tried_where_one_is_wanted(keadm: Keadm, host: Host) -> None:
    hub = {"websocket": {"server": "127.0.0.1:1"}, "httpServer": "https://127.0.0.1:2"}
    stream = {"enable": True, "server": "127.0.0.1:3"}
    host.path(CONFIG).parent.mkdir(parents=True)
    host.path(CONFIG).write_text(yaml.safe_dump({"modules": {"edgeHub": hub, "edgeStream": stream}}))
    _, answer = keadm("debug", "check", "network")
    assert [one["subject"] for one in answer["checks"]] == ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]


def test_the_udp_port_of_quic_is_not_tried_by_tcp(keadm: Keadm, host: Host) -> None:
    hub = {
        "websocket": {"enable": False},
        "quic": {"enable": True, "server": "127.0.0.1:1"},
        "httpServer": "https://127.0.0.1:2",
    }
    host.path(CONFIG).parent.mkdir(parents=True)
    host.path(CONFIG).write_text(yaml.safe_dump({"modules": {"edgeHub": hub}}))
    _, answer = keadm("debug", "check", "network")
    assert [one["subject"] for one in answer["checks"]] == ["127.0.0.1:2"]


@pytest.fixture
def dns_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A DNS server that knows one name; what it was asked."""
    asked: list[bytes] = []
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda sock, _: real(sock, server.getsockname()))

    def serve() -> None:
        while data := server.recvfrom(512):
            query, sender = data
            if query == b"end":
                return
            asked.append(query)
            known = b"\x05cloud" in query
            server.sendto(
                query[:2] + (b"\x81\x80" if known else b"\x81\x83") + b"\0\1\0\1" + query[8:], sender
            )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield asked
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"end", server.getsockname())
    thread.join()
    server.close()


def test_a_dns_server_is_asked_directly(dns_port: list[bytes]) -> None:
    assert ask("127.0.0.1", "cloud.example") == "known to 127.0.0.1 (1 answers)"
    assert dns_port[0].endswith(b"\x05cloud\x07example\0\0\1\0\1")
    with pytest.raises(ValueError, match="no such name"):
        ask("127.0.0.1", "other.example")


def test_the_archive_holds_what_is_needed_and_no_secret(keadm: Keadm, node: Host, tmp_path: Path) -> None:
    node.path(CONFIG).parent.mkdir(parents=True)
    bus = {"mqttPassword": "hunter2", "mqttServerExternal": "tcp://user:hunter3@127.0.0.1:1883"}
    node.path(CONFIG).write_text(yaml.safe_dump({"modules": {"edgeHub": {"token": TOKEN}, "eventBus": bus}}))
    log = node.path("/var/log/kubeedge/edgecore.log")
    log.parent.mkdir(parents=True)
    log.write_text(f"joining with {TOKEN}\nAuthorization: Bearer abc.def\n")
    mapper = {"common": {"name": "pumps"}, "devices": [{"protocol": {"password": "hunter4"}}]}
    for path, text in (
        ("/etc/systemd/system/edgelab-mapper-pumps.service", "[Service]\n"),
        ("/etc/edgelab/mappers/pumps/config.yaml", yaml.safe_dump(mapper)),
        ("/etc/edgelab/mappers/pumps/mqtt", "hunter5"),
    ):
        node.path(path).parent.mkdir(parents=True, exist_ok=True)
        node.path(path).write_text(text)
    status, answer = keadm("debug", "collect", "--output-path", tmp_path / "out")
    assert status == 0
    path = Path(answer["file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as tar:
        texts = {
            name.partition("/")[2]: (tar.extractfile(name) or pytest.fail(name)).read().decode()
            for name in tar.getnames()
        }
    everything = "\n".join(texts.values())
    for secret in (TOKEN, "hunter2", "hunter3", "hunter4", "hunter5", "abc.def", "aGlkZGVu"):
        assert secret not in everything
    assert "joining with ********" in texts["edgecore/log/edgecore.log"]
    assert texts["mappers/pumps/edgelab-mapper-pumps.service"] == "[Service]\n"
    assert "name: pumps" in texts["mappers/pumps/config.yaml"]
    assert {"mappers/pumps/unit-state", "mappers/pumps/journal"} <= set(texts)
    assert json.loads(texts["edgecore/database"])["meta"]["pod"] == 4
    assert json.loads(texts["edgecore/database"])["quick_check"] == ["ok"]
    assert texts["edgecore/certificate"].startswith("not available")
    assert "EDGE-CONFIG" in texts["edgecore/diagnosis"]
    assert set(texts) >= {"version", "system/meminfo", "system/ports", "runtime/state", "contents"}


def test_keys_are_taken_out_of_any_text() -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nabc\ndef\n-----END EC PRIVATE KEY-----"
    assert scrubbed(f"a {key} b") == "a ******** b"
