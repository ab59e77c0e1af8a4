"""Samples over the HTTP API, for how long they are kept, restarts, and where what devices report goes."""

from __future__ import annotations

import json
import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
DATA = "/srv/samples"
DAY = 86_400
EXPORTER = "edgelab-twinexporter"
VMAGENT = "edgelab-remote-write"
EXPOSURE = 2.0
"""What systemd-analyze may say of the twinexporter and vmagent at most, of 10."""
METRICS = "curl -s http://127.0.0.1:9186/metrics"
STORE = "--user plant7:thousand-nights http://127.0.0.1:8499"
"""The other database, as curl reaches it."""
SECRETS = ("sesame", "thousand-nights")
HEALTH = "curl -s http://127.0.0.1:9186/healthz"
SELECTOR = '{__name__=~"kubeedge_device_.+"}'
LABELS = {
    "__name__": "kubeedge_device_temperature",
    "namespace": "plant",
    "device": "boiler",
    "node": "edge7",
}
"""Of the one series there is: texts are no samples, and the exporter was told of one namespace only."""
Eventually = Callable[..., Any]


@pytest.fixture(scope="module")
def url(host: Host) -> str:
    """Where the role was told to listen."""
    return f"http://{host.ansible.get_variables()['edgelab_node_ip']}:8429"


@pytest.fixture
def series() -> str:
    """A name that no other test and no earlier run wrote to."""
    return f"probe_{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def plant(kubectl: Callable[..., str]) -> Iterator[Callable[[float], int]]:
    """Lets devices report a temperature; gives the time of the report."""

    def report(temperature: float) -> int:
        at = int(time.time() * 1000)
        items = [
            *reporting("plant", "boiler", temperature, at),
            *reporting("default", "other", temperature, at),
        ]
        # CloudCore makes a DeviceStatus for every Device itself: who comes second takes over what there is.
        apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        kubectl(*apply, stdin="\n---\n".join(json.dumps(item) for item in items))
        return at

    kubectl("create", "namespace", "plant")
    yield report
    kubectl("delete", "device,devicestatus", "-A", "--all", "--wait=false")
    kubectl("delete", "namespace", "plant", "--ignore-not-found")


def reporting(namespace: str, name: str, temperature: float, at: int) -> list[dict[str, Any]]:
    """A device that says how warm it is and, in words, how it is."""
    about = {"apiVersion": "devices.kubeedge.io/v1beta1", "metadata": {"name": name, "namespace": namespace}}
    spec = {"deviceModelRef": {"name": "any"}, "nodeName": "edge7", "protocol": {"protocolName": "modbus"}}
    twins = [
        {"propertyName": what, "reported": {"value": value, "metadata": {"timestamp": str(at)}}}
        for what, value in (("temperature", str(temperature)), ("state", "burning"))
    ]
    return [
        {**about, "kind": "Device", "spec": spec},
        {**about, "kind": "DeviceStatus", "status": {"twins": twins}},
    ]


def write(host: Host, url: str, series: str, value: float, at: float) -> None:
    """One sample in Influx line protocol, as the twinexporter sends it."""
    line = f"{series},site=north value={value} {int(at) * 10**9}"
    host.check_output(f"curl -sS --fail {url}/write --data-binary {shlex.quote(line)}")


def read(host: Host, url: str, selector: str, since: int = 0) -> list[dict[str, Any]]:
    """All samples of the series that match: labels, values and times (in milliseconds) of each."""
    asked = f"--data-urlencode 'match[]={selector}' --data start={since / 1000}"
    found = host.check_output(f"curl -sS --fail -G {url}/api/v1/export {asked}")
    return [json.loads(line) for line in found.splitlines()]


def query(host: Host, url: str, expression: str) -> list[dict[str, Any]]:
    """What an instant query gives, as Grafana asks it."""
    asked = f"curl -sS --fail -G {url}/api/v1/query --data-urlencode {shlex.quote('query=' + expression)}"
    document = json.loads(host.check_output(asked))
    assert document["status"] == "success"
    found: list[dict[str, Any]] = document["data"]["result"]
    return found


@pytest.mark.parametrize("unit", ["victoria-metrics", EXPORTER, VMAGENT])
def test_the_services_run_now_and_after_a_reboot_and_not_as_root(host: Host, unit: str) -> None:
    service = host.service(unit)
    assert service.is_running
    assert service.is_enabled
    process = host.process.get(pid=int(service.systemd_properties["MainPID"]))
    assert process.user != "root"


def test_it_listens_where_it_was_told_and_nowhere_else(host: Host, url: str) -> None:
    assert host.check_output(f"curl -sS --fail {url}/health") == "OK"
    assert host.run("curl -sS http://127.0.0.1:8429/health").rc == 7
    assert not any(":8428" in socket for socket in host.socket.get_listening_sockets())


def test_samples_lie_where_they_are_to_and_only_their_user_writes_there(host: Host) -> None:
    folder = host.file(DATA)
    assert (folder.user, folder.mode & 0o022) == ("_victoria-metrics", 0)
    assert {"data", "indexdb"} <= set(folder.listdir())
    assert not host.file("/var/lib/victoria-metrics/data").exists


def test_what_was_written_is_queried_a_moment_later(
    host: Host, url: str, series: str, eventually: Eventually
) -> None:
    write(host, url, series, 42.5, time.time())
    [found] = eventually(lambda: query(host, url, f"{series}_value"), "the sample is found", 10)
    assert found["metric"]["site"] == "north"
    assert float(found["value"][1]) == 42.5


def test_a_sample_that_is_sent_again_is_there_once(
    host: Host, url: str, series: str, eventually: Eventually
) -> None:
    at = time.time() - 60
    write(host, url, series, 1.0, at)
    write(host, url, series, 1.0, at)
    write(host, url, series, 2.0, at + 1)

    def count() -> float:
        [found] = query(host, url, f"count_over_time({series}_value[5m])")
        return float(found["value"][1])

    eventually(lambda: count() == 2, "two samples, not three", 10)


def test_samples_are_kept_for_as_long_as_asked_and_through_a_restart(
    host: Host, url: str, series: str, eventually: Eventually
) -> None:
    now = int(time.time())
    for age in (20 * DAY, 5 * DAY, 60):
        write(host, url, series, age, now - age)
    kept = [(now - 5 * DAY) * 1000, (now - 60) * 1000]

    def times() -> list[int]:
        return sorted(at for found in read(host, url, f"{series}_value") for at in found["timestamps"])

    eventually(lambda: times() == kept, "all but the one that is older than the retention", 10)
    host.check_output("systemctl restart victoria-metrics")
    eventually(lambda: host.run(f"curl -sS --fail {url}/health").rc == 0, "it answers again", 30)
    assert times() == kept


def test_what_a_device_reports_becomes_a_sample_also_while_the_database_is_away(
    host: Host, url: str, plant: Callable[[float], int], eventually: Eventually
) -> None:
    first = plant(61.5)

    def samples() -> dict[int, float]:
        [found] = read(host, url, SELECTOR, first)
        assert found["metric"].items() >= LABELS.items()
        return dict(zip(found["timestamps"], found["values"], strict=True))

    eventually(lambda: samples() == {first: 61.5}, "the report is a sample", 15)
    host.check_output("systemctl stop victoria-metrics")
    try:
        second = plant(62.25)
        eventually(lambda: host.check_output(HEALTH).startswith("database "), "the exporter tells of it", 30)
    finally:
        host.check_output("systemctl start victoria-metrics")
    eventually(lambda: samples() == {first: 61.5, second: 62.25}, "what came meanwhile was not lost", 60)
    eventually(lambda: host.check_output(HEALTH) == "ok", "the exporter is well again", 30)


def rows(host: Host, since: int) -> list[str]:
    """What PostgreSQL has of the device `boiler`: sensor, value, milliseconds, active."""
    asked = (
        "SELECT sensor, value, extract(epoch from time) * 1000 = " + str(since) + ", active"
        " FROM plant.kubeedge_device WHERE namespace = 'plant' AND device = 'boiler'"
        f" AND time >= to_timestamp({since / 1000}) ORDER BY sensor"
    )
    psql = f"cd / && runuser -u postgres -- psql --no-align --tuples-only --command {shlex.quote(asked)}"
    return host.check_output(psql).splitlines()


def test_what_a_device_reports_is_in_the_other_database_and_in_postgresql_too(
    host: Host, url: str, plant: Callable[[float], int], kubectl: Callable[..., str], eventually: Eventually
) -> None:
    at = plant(63.5)
    eventually(lambda: read(host, url, SELECTOR, at), "the report is a sample", 15)
    eventually(lambda: read(host, STORE, SELECTOR, at) == read(host, url, SELECTOR, at), "in both", 30)
    wanted = ["state|burning|t|t", "temperature|63.5|t|t"]
    eventually(lambda: rows(host, at) == wanted, "there are two rows", 15)
    kubectl("delete", "device,devicestatus", "-n", "plant", "boiler")
    gone = [row.removesuffix("t") + "f" for row in wanted]
    eventually(lambda: rows(host, at) == gone, "the device is no longer active", 15)


def test_what_came_while_all_databases_were_away_and_the_exporter_was_killed_is_there_once(
    host: Host, url: str, plant: Callable[[float], int], eventually: Eventually
) -> None:
    units = "victoria-metrics store postgresql@*"
    host.check_output(f"systemctl stop {units}")
    try:
        at = plant(64.5)
        eventually(lambda: "waiting_lines 3" in host.check_output(METRICS), "it waits", 15)
        host.check_output(f"systemctl kill --signal=SIGKILL {EXPORTER}")
        host.check_output(f"systemctl restart {VMAGENT}")
    finally:
        host.check_output("systemctl start victoria-metrics store postgresql")

    def samples(where: str) -> list[float]:
        return [value for found in read(host, where, SELECTOR, at) for value in found["values"]]

    eventually(lambda: samples(url) == [64.5], "the sample is there", 60)
    eventually(lambda: samples(STORE) == [64.5], "and in the other database", 60)
    eventually(lambda: len(rows(host, at)) == 2, "and in PostgreSQL", 60)
    eventually(lambda: host.check_output(HEALTH) == "ok", "the exporter is well again", 60)
    host.check_output(f"systemctl restart {EXPORTER}")
    eventually(lambda: host.check_output(HEALTH) == "ok", "it is back", 30)
    assert "edgelab_twinexporter_lines_total 0" in host.check_output(METRICS)


def test_prometheus_can_scrape_what_devices_say(
    host: Host, plant: Callable[[float], int], eventually: Eventually
) -> None:
    plant(65.5)
    gauge = (
        'kubeedge_device_reported{namespace="plant",device="boiler",node="edge7",property="temperature"} 65.5'
    )
    eventually(lambda: gauge in host.check_output(METRICS).splitlines(), "the gauge is there", 15)


def test_numbers_of_the_exporter_are_scraped_and_its_gauges_are_not_samples_again(
    host: Host, url: str, plant: Callable[[float], int], eventually: Eventually
) -> None:
    plant(31.5)
    own = 'edgelab_twinexporter_lines_total{job="twinexporter"}'
    eventually(lambda: query(host, url, own), "the exporter's own numbers", 60)
    assert not query(host, url, '{__name__=~"kubeedge_device_reported.*"}')
    [target] = query(host, url, 'up{job="cloudcore"}')
    assert target["metric"]["instance"] == "127.0.0.1:9091"


def test_no_secret_is_in_a_command_line_a_unit_or_the_journal(host: Host) -> None:
    places = [
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
        f"systemctl cat {EXPORTER} {VMAGENT}",
        f"journalctl --no-pager -u {EXPORTER} -u {VMAGENT}",
    ]
    for place in places:
        text = host.run(place).stdout
        assert text
        assert not any(secret in text for secret in SECRETS), place


@pytest.mark.parametrize("unit", [EXPORTER, VMAGENT])
def test_state_is_for_the_service_alone(host: Host, unit: str) -> None:
    folder = host.file(f"/var/lib/private/{unit}")
    assert folder.mode == 0o700
    assert folder.user != "root"
    assert folder.listdir()


@pytest.mark.parametrize("unit", [EXPORTER, VMAGENT])
def test_it_is_boxed_in(host: Host, exposure: Callable[[Host, str], float], unit: str) -> None:
    assert exposure(host, f"{unit}.service") <= EXPOSURE
    assert host.service(EXPORTER).systemd_properties["Type"] == "notify"
