"""`keadm reset` on a host of its own: what goes, what stays, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.keadm.api_server import ApiServer
from tests.keadm.conftest import Keadm
from tests.keadm.host import Host
from tests.keadm.sandboxes import serve
from typer.testing import CliRunner

from edgelab.keadm.__main__ import app
from edgelab.keadm.resetting import mounted_below

EDGE = (
    "etc/kubeedge/config/edgecore.yaml",
    "etc/kubeedge/certs/server.key",
    "etc/kubeedge/ca/rootCA.crt",
    "etc/kubeedge/bootstrap-edgecore.conf",
    "var/lib/kubeedge/edgecore.db",
    "var/lib/kubeedge/edgecore.db-wal",
    "var/lib/kubelet/pods/uid/etc-hosts",
    "etc/systemd/system/edgecore.service",
    "etc/systemd/system/edgecore.service.d/own.conf",
    "etc/default/edgecore",
)
CLOUD = (
    "etc/kubeedge/config/cloudcore.yaml",
    "etc/kubeedge/cloudcore.kubeconfig",
    "etc/systemd/system/cloudcore.service",
)
OTHERS = ("etc/hosts", "var/lib/kubelet/config.json", "opt/edgelab/venvs/1/bin/keadm")


def put(host: Host, *names: str) -> None:
    for name in names:
        path = host.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


@pytest.fixture
def edge(host: Host) -> Host:
    put(host, *EDGE, *OTHERS)
    host.units.running, host.units.at_boot = {"edgecore"}, {"edgecore"}
    return host


def test_the_edge_goes_with_pods_keys_database_and_unit_and_nothing_else(keadm: Keadm, edge: Host) -> None:
    socket = edge.path("/run/c.sock")
    socket.parent.mkdir()
    with serve(socket) as runtime:
        call = ("reset", "edge", "--force", "-p", "unix:///run/c.sock")
        status, answer = keadm(*call)
        assert (status, answer["changed"], answer["sides"]) == (0, True, ["edge"])
        assert list(runtime.there) == ["hand"]
    assert set(edge.files()) == set(OTHERS)
    assert edge.units.calls == ["stop edgecore", "disable edgecore", "daemon-reload"]
    assert not edge.path("/etc/kubeedge").exists()
    edge.units.calls = []
    assert keadm(*call)[1]["changed"] is False
    assert edge.units.calls == []


def test_a_dry_run_names_it_all_and_touches_nothing(edge: Host) -> None:
    before = edge.files()
    done = CliRunner().invoke(app, ["reset", "edge", "--dry-run"])
    assert done.exit_code == 0
    assert (edge.files(), edge.units.calls) == (before, [])
    told = done.stdout.replace(str(edge.root), "").splitlines()
    assert [line.partition(":")[0] for line in told] == [
        *("stop edgecore", "pods", "volumes", "edge files", "unit edgecore", "directories", "dry run"),
    ]
    assert "removed: /etc/kubeedge/config/edgecore.yaml, /etc/kubeedge/ca" in told[3]


def test_without_a_word_it_takes_what_is_there(keadm: Keadm, edge: Host) -> None:
    assert keadm("reset", "--force")[1]["sides"] == ["edge"]
    assert keadm("reset", "--force") == (
        0,
        {"changed": False, "dry_run": False, "steps": [], "warnings": [], "sides": []},
    )


def test_one_side_of_a_box_that_is_both_leaves_the_other_alone(
    keadm: Keadm, edge: Host, kube_config: Path
) -> None:
    put(edge, *CLOUD)
    edge.units.running.add("cloudcore")
    assert keadm("reset", "edge", "--force")[0] == 0
    assert set(edge.files()) == {*CLOUD, *OTHERS}
    assert edge.units.running == {"cloudcore"}


def test_the_cloud_goes_with_its_namespace(
    keadm: Keadm, host: Host, server: ApiServer, kube_config: Path
) -> None:
    put(host, *CLOUD, *OTHERS)
    host.units.running.add("cloudcore")
    assert keadm("init", "--cluster-only", "--kube-config", kube_config)[0] == 0
    status, answer = keadm("reset", "cloud", "--force", "--kube-config", kube_config)
    assert (status, answer["changed"]) == (0, True)
    assert ("DELETE", "/api/v1/namespaces/kubeedge") in server.writes
    assert set(host.files()) == set(OTHERS)
    assert "stop cloudcore" in host.units.calls


def test_without_a_kubeconfig_the_namespace_is_said_to_stay(keadm: Keadm, host: Host) -> None:
    put(host, *CLOUD)
    _, answer = keadm("reset", "cloud", "--force", "--kube-config", "/none")
    assert "there is no /none (--kube-config): the namespace kubeedge was left alone" in answer["warnings"][0]
    assert host.files() == {}


def test_the_runtime_is_the_configured_one(keadm: Keadm, edge: Host) -> None:
    socket = edge.path("/run/own.sock")
    socket.parent.mkdir()
    edge.path("/" + EDGE[0]).write_text(
        "modules: {edged: {tailoredKubeletConfig: {containerRuntimeEndpoint: 'unix:///run/own.sock'}}}"
    )
    with serve(socket) as runtime:
        assert keadm("reset", "edge", "--force")[0] == 0
        assert list(runtime.there) == ["hand"]


def test_a_runtime_that_is_not_there_is_no_reason_to_stop(keadm: Keadm, edge: Host) -> None:
    assert keadm("reset", "edge", "--force", "-p", "unix:///run/none.sock")[0] == 0
    assert set(edge.files()) == set(OTHERS)


def test_nothing_is_touched_without_a_yes(keadm: Keadm, edge: Host) -> None:
    before = edge.files()
    status, answer = keadm("reset", "edge")
    assert (status, "say --force" in answer["error"]) == (1, True)
    done = CliRunner().invoke(app, ["reset"], input="n\n")
    assert done.exit_code == 1
    assert "nothing was touched" in done.output
    assert (edge.files(), edge.units.calls) == (before, [])
    assert CliRunner().invoke(app, ["reset"], input="y\n").exit_code == 0
    assert set(edge.files()) == set(OTHERS)


def test_mounts_below_a_directory_are_found_innermost_first(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    lines = (
        "/",
        "/var/lib/kubelet/pods/a/volumes/x",
        "/var/lib/kubelet/pods/a/b\\040c/d/e/f/gggggggg",
        "/var",
    )
    table.write_text("".join(f"1 2 0:3 / {point} rw - tmpfs t rw\n" for point in lines))
    assert mounted_below(Path("/var/lib/kubelet/pods"), table) == [
        "/var/lib/kubelet/pods/a/b c/d/e/f/gggggggg",
        "/var/lib/kubelet/pods/a/volumes/x",
    ]
