"""The runtime that is away, comes back, and says which cgroup driver it has."""

from __future__ import annotations

import json

import pytest
from tests.edgecore.edged.samples import HandClock

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Readiness, Runtime, _driver_of_containerd
from edgelab.daemon.errors import Fatal
from edgelab.edgecore.edged.runtimewatch import RuntimeWatch


class Answering(Runtime):
    """A runtime that answers what the test says; `failure` is raised instead."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.driver = ""

    async def version(self) -> pb.VersionResponse:
        if self.failure:
            raise self.failure
        return pb.VersionResponse(runtime_name="containerd", runtime_version="1.7")

    async def readiness(self) -> Readiness:
        if self.failure:
            raise self.failure
        return Readiness(True, True, "")

    async def cgroup_driver(self) -> str:
        return self.driver


async def test_a_runtime_that_goes_and_comes_is_told_of_each_time() -> None:
    runtime, told = Answering(), []
    watch = RuntimeWatch(runtime, HandClock(), lambda: told.append(watch.problem))
    await watch.greet()
    assert (watch.problem, watch.version) == ("", "containerd://1.7")
    runtime.failure = RuntimeUnreachable("nobody answers on /run/x.sock")
    await watch.ask()
    assert watch.problem == "container runtime is down: nobody answers on /run/x.sock"
    assert watch.version == "", "another version may come back"
    runtime.failure = CriError("UNIMPLEMENTED", "unknown service")
    await watch.ask()
    assert "does not serve CRI v1" in watch.problem
    runtime.failure = None
    await watch.ask()
    assert (watch.problem, watch.version) == ("", "containerd://1.7")


async def test_a_runtime_that_stays_away_at_the_start_ends_the_process() -> None:
    runtime = Answering()
    runtime.failure = RuntimeUnreachable("nobody answers")
    with pytest.raises(Fatal, match="nobody answers"):
        await RuntimeWatch(runtime, HandClock(), lambda: None).greet()


async def test_the_runtimes_own_cgroup_driver_wins_and_the_fix_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime = Answering()
    watch = RuntimeWatch(runtime, HandClock(), lambda: None)
    assert await watch.driver("cgroupfs") == "cgroupfs"
    assert caplog.text == ""
    runtime.driver = "systemd"
    assert await watch.driver("cgroupfs") == "systemd"
    assert "set modules.edged.tailoredKubeletConfig.cgroupDriver to systemd" in caplog.text


@pytest.mark.parametrize(
    ("options", "driver"),
    [({"SystemdCgroup": True}, "systemd"), ({"SystemdCgroup": False}, "cgroupfs"), (None, "cgroupfs")],
)
def test_containerd_is_read_by_its_configuration(options: object, driver: str) -> None:
    config = {"containerd": {"defaultRuntimeName": "runc", "runtimes": {"runc": {"options": options}}}}
    assert _driver_of_containerd(json.dumps(config)) == driver


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"containerd": {"runtimes": {}}}'])
def test_what_says_nothing_of_a_driver(text: str) -> None:
    assert _driver_of_containerd(text) == ""
