"""Versions of the runtime side by side, installing without an index, and what systemd does for the daemons."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
CHECKOUT = Path(__file__).resolve().parents[3]
VERSION_PLAY = Path(__file__).resolve().parents[1] / "version.yml"
ROOT = "/opt/edgelab"
CODE = "curl -sk -o /dev/null -w '%{http_code}'"
DAEMONS = {
    "edgesite": f"{CODE} https://127.0.0.1:6443/readyz",
    "cloudcore": f"{CODE} http://127.0.0.1:9091/healthz",
    "edgecore": f"{CODE} http://127.0.0.1:10350/healthz",
}
"""Each daemon, and how it is asked whether it serves."""
HOSTS = {"edgesite": "cloud", "cloudcore": "cloud", "edgecore": "edge1"}
EXPOSURE = {"edgesite": 2.0, "cloudcore": 2.0, "edgecore": 5.1}
"""What systemd-analyze may say at most, of 10; EdgeCore has no mount namespace, because it mounts volumes, and
may enter networks, because it reaches ports of Docker's pods."""
LIMITS = {"edgesite": "300M", "cloudcore": "300M", "edgecore": "200M"}
"""As in the converge."""
WATCHDOG_SECONDS = 60
"""As in the units."""
WATCHDOG_MARGIN = 25
"""For the stack trace, RestartSec and the start, on a busy machine."""
NOWHERE = "http://127.0.0.1:9/simple"
Answer = tuple[int, str]
Play = Callable[..., Answer]
Machine = Callable[[str], Host]


def current(host: Host) -> str:
    return Path(host.file(f"{ROOT}/current").linked_to).name


def installed(host: Host) -> set[str]:
    return set(host.file(f"{ROOT}/venvs").listdir())


def reported(host: Host) -> str:
    """The version that keadm on everybody's path says it is."""
    found: str = json.loads(host.check_output("keadm version --output json"))["edgelab"]
    return found


def process(host: Host, unit: str) -> str:
    return str(host.service(unit).systemd_properties["MainPID"])


def limit(host: Host, unit: str) -> int | None:
    """MiB that systemd lets a daemon have before it slows it down."""
    found = str(host.service(unit).systemd_properties["MemoryHigh"])
    return None if found == "infinity" else int(found) >> 20


def serves_anew(host: Host, unit: str, before: str) -> bool:
    return process(host, unit) not in {"0", before} and host.run(DAEMONS[unit]).stdout == "200"


@pytest.fixture
def without_a_route(host: Host) -> Iterator[None]:
    """The host reaches nothing but its neighbours."""
    route = host.check_output("ip route show default").splitlines()[0]
    host.check_output(f"ip route del {route}")
    try:
        assert host.run("ip route get 9.9.9.9").rc != 0
        yield
    finally:
        host.check_output(f"ip route add {route}")


def test_the_version_is_named_after_its_content_and_is_the_one_that_runs(host: Host) -> None:
    version = current(host)
    assert re.fullmatch(r"\d+\.\d+\.\d+\+[0-9a-f]{12}", version)
    assert version in installed(host)
    assert host.file("/usr/local/bin/keadm").linked_to == f"{ROOT}/venvs/{version}/bin/keadm"
    assert reported(host) == version
    for unit in ("edgesite", "cloudcore"):
        assert f"EDGELAB_RUNTIME={version}" in host.file(f"/etc/default/{unit}").content_string


def test_a_host_gets_what_its_side_needs_and_nothing_to_install_with(
    host: Host, machine: Machine
) -> None:
    imports = f"{ROOT}/current/bin/python -I -c 'import {{}}'"
    assert host.run(imports.format("aiohttp")).rc == 0
    assert machine("edge1").run(imports.format("paho.mqtt")).rc == 0
    assert machine("edge1").run(imports.format("aiohttp")).rc == 1
    assert host.run(imports.format("pip")).rc == 1


@pytest.mark.parametrize("unit", DAEMONS)
def test_systemd_finds_the_daemon_less_exposed_than_the_ceiling(
    machine: Machine, exposure: Callable[[Host, str], float], unit: str
) -> None:
    assert exposure(machine(HOSTS[unit]), f"{unit}.service") <= EXPOSURE[unit]


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_daemon_counts_as_started_when_it_serves(machine: Machine, unit: str) -> None:
    host = machine(HOSTS[unit])
    assert host.service(unit).systemd_properties["Type"] == "notify"
    assert host.check_output(f"systemctl restart {unit} && {DAEMONS[unit]}") == "200"


def test_a_hung_daemon_is_ended_with_a_stack_trace_and_started_anew(
    machine: Machine, eventually: Callable[..., Any]
) -> None:
    """All at once, since each takes as long as its watchdog's patience."""
    hung = {unit: process(machine(where), unit) for unit, where in HOSTS.items()}
    assert "0" not in hung.values()
    for unit, before in hung.items():
        machine(HOSTS[unit]).check_output(f"kill -STOP {before}")
    deadline = time.monotonic() + WATCHDOG_SECONDS + WATCHDOG_MARGIN
    for unit, before in hung.items():
        host = machine(HOSTS[unit])
        eventually(
            partial(serves_anew, host, unit, before), f"{unit} serves again", deadline - time.monotonic()
        )
        told = host.check_output(f"journalctl --boot --no-pager --output=cat _PID={before}")
        assert "Fatal Python error: Aborted" in told
        assert "most recent call first" in told
        unit_told = host.check_output(f"journalctl --boot --no-pager --output=cat --unit={unit}")
        assert "Watchdog timeout (limit 1min)!" in unit_told


def test_memory_is_limited_as_asked_and_a_limit_goes_without_a_restart(
    host: Host, machine: Machine, play: Play
) -> None:
    before = process(host, "edgesite")
    assert limit(machine("edge1"), "edgecore") == 200
    assert [limit(host, unit) for unit in ("edgesite", "cloudcore")] == [300, 300]
    for limits, expected in (({"cloudcore": "350M"}, [None, 350]), (LIMITS, [300, 300])):
        status, text = play(VERSION_PLAY, {"python_runtime_memory_high": limits})
        assert status == 0, text
        assert [limit(host, unit) for unit in ("edgesite", "cloudcore")] == expected
    assert process(host, "edgesite") == before


def test_a_limit_for_what_is_no_daemon_is_refused(play: Play) -> None:
    status, text = play(VERSION_PLAY, {"python_runtime_memory_high": {"edgecroe": "200M"}})
    assert status != 0
    assert "cloud: python_runtime_memory_high names edgecroe" in text


def test_versions_come_go_and_come_back_while_daemons_run(
    host: Host,
    play: Play,
    module: Callable[..., Answer],
    sources: Callable[[str, str, str], Path],
    tmp_path: Path,
    without_a_route: None,
) -> None:
    first = current(host)
    running = {unit: process(host, unit) for unit in ("edgesite", "cloudcore")}

    def another(comment: str) -> str:
        return str(sources("__init__.py", "KUBEEDGE_VERSION =", f"{comment}KUBEEDGE_VERSION ="))

    def install(**variables: str) -> str:
        status, text = play(VERSION_PLAY, variables)
        assert status == 0, text
        return current(host)

    second = install(python_runtime_source=another("# second\n"))
    assert second != first
    assert installed(host) == {first, second}
    assert reported(host) == second

    third = install(python_runtime_source=another("# third\n"))
    assert installed(host) == {second, third}, "of versions that are neither current nor previous, none stays"

    status, text = module("cloud", "edge_runtime", {"state": "rolled_back"})
    assert status == 0, text
    assert (current(host), reported(host)) == (second, second)
    assert installed(host) == {second, third}
    status, text = module("cloud", "edge_runtime", {"state": "rolled_back"})
    assert status != 0, "where it came from is not offered as the version before"
    assert "no earlier version" in text

    # The first one is not there any more, and comes from a directory with wheels.
    wheels = {"dest": str(tmp_path / "wheels"), "targets": [{"suite": suite(host), "arch": arch(host)}]}
    kept = {"cache_dir": str(CHECKOUT / ".cache")}
    status, text = module("localhost", "runtime_wheelhouse", {**wheels, **kept})
    assert status == 0, text
    closed = {"python_runtime_index_url": NOWHERE, "python_runtime_cache_dir": str(tmp_path / "empty")}
    status, text = play(VERSION_PLAY, closed, PIP_RETRIES="0", PIP_NO_CACHE_DIR="1")
    assert status != 0, "there is no index, and nothing else to take wheels from"
    assert "The package index cannot be reached" in text
    assert current(host) == second
    assert install(**closed, python_runtime_wheelhouse=wheels["dest"]) == first
    assert reported(host) == first

    assert {unit: process(host, unit) for unit in running} == running


def suite(host: Host) -> str:
    return str(host.system_info.codename)


def arch(host: Host) -> str:
    return str(host.check_output("dpkg --print-architecture"))
