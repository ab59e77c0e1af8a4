"""The broker on a fresh host: it runs, keeps to the loopback, and hands messages on."""

from __future__ import annotations

from testinfra.host import Host


def test_the_service_runs_now_and_after_a_reboot(host: Host) -> None:
    service = host.service("mosquitto")
    assert service.is_running
    assert service.is_enabled


def test_only_the_host_itself_reaches_the_broker(host: Host) -> None:
    assert host.socket("tcp://127.0.0.1:1883").is_listening
    assert not host.socket("tcp://0.0.0.0:1883").is_listening
    assert not host.socket("tcp://:::1883").is_listening


def test_a_retained_message_arrives(host: Host) -> None:
    host.check_output("mosquitto_pub -h 127.0.0.1 -t edgelab/probe -r -m servus")
    got = host.check_output("mosquitto_sub -h 127.0.0.1 -t edgelab/probe -C 1 -W 5")
    assert got == "servus"
    host.check_output("mosquitto_pub -h 127.0.0.1 -t edgelab/probe -r -n")
