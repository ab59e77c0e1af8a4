"""Graceful node shutdown over a real message bus, with a logind played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.edgecore.edged.desk import driven, working
from tests.edgecore.edged.samples import HandClock
from tests.edgecore.edged.samples import pod as sample

from edgelab.daemon.clock import SYSTEM
from edgelab.edgecore.edged import dbuswire
from edgelab.edgecore.edged.dbus import Bus, BusError
from edgelab.edgecore.edged.dbuswire import Message
from edgelab.edgecore.edged.shutdown import (
    LOGIND,
    LOGIND_PATH,
    MANAGER,
    Hands,
    NodeShutdown,
    Period,
    groups,
    periods,
)
from edgelab.edgecore.edged.verdicts import Verdict
from edgelab.settings.kubelet import TailoredKubeletConfig

Obj = dict[str, Any]


def pod(name: str, priority: int = 0, grace: int = 30) -> Obj:
    made = sample(priority=priority, terminationGracePeriodSeconds=grace)
    made["metadata"] |= {"name": name, "uid": name}
    return made


def config(**fields: Any) -> TailoredKubeletConfig:
    return TailoredKubeletConfig(
        **{"shutdownGracePeriod": "30s", "shutdownGracePeriodCriticalPods": "10s", **fields}
    )


def test_without_settings_there_are_no_periods() -> None:
    assert periods(TailoredKubeletConfig()) == []


def test_the_critical_part_is_taken_from_the_whole() -> None:
    assert periods(config()) == [Period(0, 20), Period(2_000_000_000, 10)]
    with pytest.raises(ValueError, match="shutdownGracePeriodCriticalPods"):
        periods(config(shutdownGracePeriodCriticalPods="31s"))


def test_pods_are_grouped_by_the_highest_priority_that_they_reach() -> None:
    by_priority = [
        {"priority": 1000, "shutdownGracePeriodSeconds": 5},
        {"priority": 10, "shutdownGracePeriodSeconds": 20},
    ]
    found = periods(config(shutdownGracePeriodByPodPriority=by_priority))
    assert found == [Period(10, 20), Period(1000, 5)]
    made = groups(found, [pod("low", 0), pod("exact", 1000), pod("between", 999), pod("high", 5000)])
    assert [[p["metadata"]["name"] for p in pods] for _, pods in made] == [
        ["low", "between"],
        ["exact", "high"],
    ]
    with pytest.raises(ValueError, match="each entry needs"):
        periods(config(shutdownGracePeriodByPodPriority=[{"priority": 1}]))


class Node:
    """What a shutdown does to the node's pods."""

    def __init__(self, *pods: Obj, online: bool = True) -> None:
        self.pods, self.online = list(pods), online
        self.done: list[tuple[str, Any]] = []
        self.hanging: set[str] = set()

    async def end(self, uid: str, verdict: Verdict) -> None:
        self.done.append((uid, verdict))
        if uid in self.hanging:
            await asyncio.Event().wait()

    async def halt(self, uid: str, grace: int) -> None:
        self.done.append((uid, grace))

    def hands(self) -> Hands:
        return Hands(
            pods=lambda: self.pods,
            end=self.end,
            halt=self.halt,
            online=lambda: self.online,
            changed=lambda: self.done.append(("status", None)),
            tell=lambda reason, message: self.done.append((reason, message)),
        )

    def order(self) -> list[str]:
        return [name for name, _ in self.done]


async def test_pods_end_by_priority_in_the_words_of_the_kubelet() -> None:
    node = Node(pod("system", 2_000_000_001), pod("web"), pod("short", grace=3))
    await NodeShutdown(config(), node.hands(), HandClock()).end_pods()
    assert node.order() == ["web", "short", "system"]
    text = "Pod was terminated in response to imminent node shutdown."
    assert node.done[0][1] == Verdict("Terminated", text, 20, disrupted=True)
    assert [verdict.grace for _, verdict in node.done] == [20, 3, 10]


async def test_a_pod_that_hangs_does_not_hold_the_others_up() -> None:
    node = Node(pod("hangs"), pod("system", 2_000_000_001))
    node.hanging.add("hangs")
    settings = config(shutdownGracePeriod="2s", shutdownGracePeriodCriticalPods="1s")
    async with asyncio.timeout(20):
        await NodeShutdown(settings, node.hands(), HandClock()).end_pods()
    assert node.order() == ["hangs", "system"]


async def test_without_the_cloud_pods_are_stopped_and_not_failed() -> None:
    node = Node(pod("web"), online=False)
    await NodeShutdown(config(), node.hands(), HandClock()).end_pods()
    assert node.done == [("web", 20)]


@driven
async def test_a_halted_pod_does_not_run_and_its_status_stays(tmp_path: Path) -> None:
    async with working(tmp_path, pod("web")) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.worker.halt(4)
        await desk.until(desk.worker.stopped.is_set)
        assert desk.runtime.running() == []
        assert desk.runtime.grace["main"] == 4
        await desk.passes(60)
        assert desk.runtime.running() == []
        assert desk.phase == "Running"


def test_messages_are_read_as_they_are_written() -> None:
    message = Message(
        dbuswire.SIGNAL,
        7,
        path="/a",
        interface="x.Y",
        member="Z",
        signature="sa{sv}bta(oy)",
        body=["text", [("k", ("u", 5))], True, 2**40, [("/p", 3), ("/q", 4)]],
    )
    data = dbuswire.encode(message)
    assert dbuswire.length(data[:16]) == len(data)
    read = dbuswire.decode(data)
    assert (read.path, read.member, read.serial) == ("/a", "Z", 7)
    assert read.body == ["text", [("k", 5)], True, 2**40, [("/p", 3), ("/q", 4)]]


@pytest.mark.parametrize("data", [b"x" * 16, b"l\1\0\2" + bytes(12), b"l\1\0\1\xff\xff\xff\xff" + bytes(8)])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no D-Bus message"):
        dbuswire.length(data)


class Logind(Bus):
    """A logind on the bus: gives locks, and knows whether they are still held."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.delay = 5
        self.locks: list[socket.socket] = []
        self.asked: list[list[Any]] = []

    def _deliver(self, message: Message, descriptors: list[int]) -> None:
        if message.kind != dbuswire.CALL:
            super()._deliver(message, descriptors)
            return
        answer = Message(dbuswire.RETURN, 1000 + message.serial, destination=message.sender)
        answer.reply_to = message.serial
        if message.member == "Inhibit":
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            self.locks.append(ours)
            self.asked.append(message.body)
            answer.signature, answer.body, answer.descriptors = "h", [0], 1
            socket.send_fds(self._socket, [dbuswire.encode(answer)], [theirs.fileno()])
            theirs.close()
            return
        if message.member == "Get":
            answer.signature, answer.body = "v", [("t", self.delay * 1_000_000)]
        elif message.member == "KillUnit":
            self.asked.append(message.body)
            self.delay = 30
        self._socket.send(dbuswire.encode(answer))

    async def serve(self, name: str) -> None:
        bus = "org.freedesktop.DBus"
        await self.call(bus, "/org/freedesktop/DBus", bus, "RequestName", "su", name, 0)

    def announce(self, began: bool) -> None:
        signal = Message(
            dbuswire.SIGNAL,
            5000,
            path=LOGIND_PATH,
            interface=MANAGER,
            member="PrepareForShutdown",
            signature="b",
            body=[began],
        )
        self._socket.send(dbuswire.encode(signal))

    def held(self) -> int:
        """How many locks are held now."""
        found = 0
        for lock in self.locks:
            try:
                found += lock.recv(1) != b""
            except BlockingIOError:
                found += 1
        return found


@contextlib.asynccontextmanager
async def message_bus(directory: Path) -> AsyncIterator[str]:
    if shutil.which("dbus-daemon") is None:
        pytest.fail("needs dbus-daemon (scripts/packages-test.txt)")
    address = f"unix:path={directory}/bus"
    daemon = await asyncio.create_subprocess_exec(
        *("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}", "--print-address"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert daemon.stdout is not None
        await daemon.stdout.readline()
        yield address
    finally:
        daemon.terminate()
        await daemon.wait()


async def until(condition: Any, limit: float = 30) -> None:
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.01)


async def test_logind_is_held_up_until_the_pods_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with message_bus(tmp_path) as address, Logind(address) as logind, Logind(address) as systemd:
        await logind.serve(LOGIND)
        await systemd.serve("org.freedesktop.systemd1")
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        node, override = Node(pod("web")), tmp_path / "logind.conf.d" / "99.conf"
        shutdown = NodeShutdown(config(), node.hands(), SYSTEM, override=override)
        task = asyncio.create_task(shutdown.run())
        logind.delay = 30
        await until(lambda: logind.held() == 1)
        assert logind.asked == [
            ["shutdown", "edgecore", "EdgeCore ends the pods of this node first", "delay"]
        ]
        assert not override.exists()
        assert (shutdown.problem, shutdown.refusal()) == ("", None)
        logind.announce(True)
        await until(lambda: logind.held() == 0)
        assert node.order() == ["NodeShutdown", "status", "web"]
        assert shutdown.problem == "node is shutting down"
        refusal = shutdown.refusal()
        assert refusal is not None
        assert (refusal.reason, refusal.message) == (
            "NodeShutdown",
            "Pod was rejected as the node is shutting down.",
        )
        logind.announce(False)
        await until(lambda: logind.held() == 1)
        assert shutdown.problem == ""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: logind.held() == 0)
        for lock in logind.locks:
            lock.close()


async def test_logind_is_asked_for_as_much_time_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with message_bus(tmp_path) as address, Logind(address) as logind, Logind(address) as systemd:
        await logind.serve(LOGIND)
        await systemd.serve("org.freedesktop.systemd1")
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        override = tmp_path / "logind.conf.d" / "99.conf"
        shutdown = NodeShutdown(config(), Node().hands(), SYSTEM, override=override)
        task = asyncio.create_task(shutdown.run())
        await until(lambda: logind.held() == 1)
        assert systemd.asked == [["systemd-logind.service", "all", 1]]
        assert override.read_text().endswith("[Login]\nInhibitDelayMaxSec=30\n")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for lock in logind.locks:
            lock.close()


async def test_without_a_bus_it_says_so_once_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")

    class Clock(HandClock):
        slept = 0

        async def sleep(self, seconds: float) -> None:
            self.slept += 1
            await super().sleep(seconds)

    clock = Clock()
    task = asyncio.create_task(NodeShutdown(config(), Node().hands(), clock).run())
    await until(lambda: clock.slept > 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert caplog.text.count("will not be noticed") == 1


async def test_an_error_of_the_bus_names_the_method(tmp_path: Path) -> None:
    async with message_bus(tmp_path) as address, Bus(address) as bus:
        with pytest.raises(BusError, match=r"Frob: org\.freedesktop\.DBus\.Error"):
            await bus.call("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "Frob")
