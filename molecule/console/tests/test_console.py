"""The page on a host: who gets it, what it shows, what its account may do, and how it is boxed in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
UNIT = "edgelab-console"
EXPOSURE = 2.0
"""What systemd-analyze may say of it at most, of 10."""
LOCAL = "http://127.0.0.1:9191"
KUBECONFIG = "/etc/edgelab/console.kubeconfig"
PASSWORD = "/etc/edgelab/console.password"
RESIDENT_KIB = 60 * 1024
PRIVATE = (KUBECONFIG, PASSWORD)
DEVICE = {
    "apiVersion": "devices.kubeedge.io/v1beta1",
    "kind": "Device",
    "metadata": {"name": "boiler", "namespace": "default"},
    "spec": {"nodeName": "edge7", "protocol": {"protocolName": "modbus"}, "deviceModelRef": {"name": "any"}},
}
Eventually = Callable[..., Any]


@pytest.fixture
def device(kubectl: Callable[..., str]) -> Iterator[None]:
    """A device that is there while the test runs."""
    kubectl("apply", "-f", "-", stdin=json.dumps(DEVICE))
    yield
    kubectl("delete", "device", "boiler")


def curl(host: Host, path: str, *words: str, base: str = LOCAL) -> str:
    """Status and body of an answer; the password is read by curl itself, so that no argument holds it."""
    asked = ["curl", "-sS", "--max-time", "3", "-w", r"\n%{http_code}", *words, f"{base}{path}"]
    return host.run(shlex.join(asked)).stdout


def known(host: Host) -> list[str]:
    """Arguments that carry the password."""
    host.check_output(f'(umask 077; printf \'user = "me:%s"\\n\' "$(cat {PASSWORD})" > /root/console.curl)')
    return ["--config", "/root/console.curl"]


def test_it_runs_now_and_after_a_reboot_and_not_as_root(host: Host) -> None:
    service = host.service(UNIT)
    assert service.is_running
    assert service.is_enabled
    process = host.process.get(pid=int(service.systemd_properties["MainPID"]))
    assert process.user != "root"
    assert int(process.rss) < RESIDENT_KIB


def test_it_listens_where_it_was_told_and_for_the_host_itself(host: Host) -> None:
    address = host.ansible.get_variables()["edgelab_node_ip"]
    assert host.socket(f"tcp://{address}:9191").is_listening
    assert host.socket("tcp://127.0.0.1:9191").is_listening
    assert not host.socket("tcp://0.0.0.0:9191").is_listening


def test_the_page_is_for_those_who_know_the_password_and_health_for_all(host: Host) -> None:
    assert curl(host, "/").endswith("\n401")
    assert curl(host, "/healthz") == "ok\n\n200"
    page = curl(host, "/", *known(host))
    assert page.endswith("\n200")
    assert "<title>edgelab console</title>" in page


def test_a_foreign_name_gets_nothing_and_its_own_name_the_page(host: Host) -> None:
    words = known(host)
    assert curl(host, "/", *words, "-H", "Host: evil.example.com").endswith("\n421")
    assert curl(host, "/", *words, "-H", "Host: lab.example.com").endswith("\n200")


@pytest.mark.usefixtures("device")
def test_a_device_of_the_cluster_is_on_the_page(host: Host, eventually: Eventually) -> None:
    words = known(host)
    found = eventually(
        lambda: [line for line in curl(host, "/api/events", *words).splitlines() if "default/boiler" in line],
        "the device is told",
        30,
    )
    row = json.loads(found[0].removeprefix("data: "))["rows"]["devices"]["default/boiler"]
    assert (row["node"], row["protocol"], row["model"]) == ("edge7", "modbus", "any")


def test_it_tells_when_it_cannot_read_and_when_it_can_again(host: Host, eventually: Eventually) -> None:
    host.check_output("systemctl stop victoria-metrics")
    try:
        eventually(lambda: "time series cannot be read" in curl(host, "/healthz"), "it is told", 30)
    finally:
        host.check_output("systemctl start victoria-metrics")
    eventually(lambda: curl(host, "/healthz").endswith("\n200"), "it is well again", 60)


@pytest.mark.parametrize("path", PRIVATE)
def test_what_lets_it_in_is_for_root_alone(host: Host, path: str) -> None:
    file = host.file(path)
    assert (file.user, file.mode) == ("root", 0o600)


def test_its_account_can_read_no_secret_and_change_nothing(host: Host) -> None:
    keadm = "/opt/edgelab/current/bin/keadm"
    secret = host.run(f"{keadm} export -n kubeedge --kind Secret --kube-config {KUBECONFIG} --output json")
    assert secret.rc == 1
    assert "cannot list resource" in secret.stdout
    asked = f"{keadm} apply -f - --kube-config {KUBECONFIG} --output json"
    change = host.run(f"printf %s {shlex.quote(json.dumps(DEVICE))} | {asked}")
    assert change.rc == 1
    assert "forbidden" in change.stdout


def test_it_is_boxed_in(host: Host, exposure: Callable[[Host, str], float]) -> None:
    assert host.service(UNIT).systemd_properties["Type"] == "notify"
    assert exposure(host, f"{UNIT}.service") <= EXPOSURE
