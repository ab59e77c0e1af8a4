"""Links that are cut, readers that do not read, a runtime that is gone, and very many at once."""

from __future__ import annotations

import asyncio
import signal

import pytest
from tests.component.edged.containerd import Containerd
from tests.component.edged.spdy_client import Client
from tests.component.streams.direct import Direct, descriptors, resident
from tests.component.streams.lab import StreamLab, StreamNode, sleeper

ENDLESS = "while true; do echo 0123456789012345678901234567890123456789; done"
AT_ONCE, COMMANDS = 500, 40
MEMORY_MIB = 120.0
"""What 500 sessions may cost each daemon, most of it OpenSSL's buffers and the sockets'."""


async def direct(lab: StreamLab) -> Direct:
    async with asyncio.timeout(30):
        while (found := await lab.published())[0] == "":
            await asyncio.sleep(0.1)
    await lab.kubectl("logs", "steady", "--tail=1")  # which makes the API server's certificate
    return Direct(lab, *found)


async def as_before(node: StreamNode, lab: StreamLab, before: tuple[int, int], seconds: float = 20) -> None:
    """Wait until neither daemon has more open than at first."""
    async with asyncio.timeout(seconds):
        while descriptors(node.core.pid) > before[0] + 2 or descriptors(lab.cloud.pid) > before[1] + 2:
            await asyncio.sleep(0.1)


def opened(node: StreamNode, lab: StreamLab) -> tuple[int, int]:
    return descriptors(node.core.pid), descriptors(lab.cloud.pid)


@pytest.fixture
async def steady(lab: StreamLab, node: StreamNode) -> Direct:
    await lab.apply(sleeper("steady"))
    return await direct(lab)


async def told(client: Client) -> bytes:
    """The first output."""
    async for name, data, _ in client.frames():
        if name == "stdout":
            return data
    raise AssertionError("the session ended")


async def test_500_sessions_at_once_are_served_within_bounds_and_leave_nothing(
    steady: Direct, lab: StreamLab, node: StreamNode
) -> None:
    """Some of them start a command; the others join one, which spares the machine 460 processes."""
    await lab.apply(sleeper("ticking", "while true; do echo tick; sleep 1; done"))
    before = opened(node, lab)
    memory = resident(node.core.pid), resident(lab.cloud.pid)
    turns = asyncio.Semaphore(8)
    clients: list[Client] = []

    async def one(number: int) -> None:
        async with turns:
            joins = number >= COMMANDS
            client = await (steady.attach("ticking") if joins else steady.exec("steady", "cat"))
            clients.append(client)
            if joins:
                return
            client.send("stdin", b"%d\n" % number)
            assert await told(client) == b"%d\n" % number

    try:
        async with asyncio.timeout(150):
            await asyncio.gather(*(one(number) for number in range(AT_ONCE)))
            await asyncio.gather(
                *(told(client) for client in clients if "stdin" not in client.names.values())
            )
        cost = resident(node.core.pid) - memory[0], resident(lab.cloud.pid) - memory[1]
        print(f"{AT_ONCE} sessions: EdgeCore +{cost[0]:.0f} MiB, CloudCore +{cost[1]:.0f} MiB")
        assert max(cost) < MEMORY_MIB, cost
        assert await lab.kubectl("exec", "steady", "--", "echo", "one more") == "one more\n"
    finally:
        for client in clients:
            client.close()
    await as_before(node, lab, before, 60)
    left = await lab.kubectl("exec", "steady", "--", "sh", "-c", "ps | grep -c '[c]at$' || true")
    assert left.strip() == "0"


async def test_who_does_not_read_costs_little_and_holds_up_nobody(
    steady: Direct, lab: StreamLab, node: StreamNode
) -> None:
    await lab.apply(sleeper("endless", ENDLESS))
    before = opened(node, lab)
    memory = resident(node.core.pid), resident(lab.cloud.pid)
    pipes = []
    try:
        for _ in range(20):
            pipe = await steady.ask("GET", "/containerLogs/default/endless/main?follow=true", {})
            pipes.append(pipe)
            await pipe.reader.readuntil(b"\r\n\r\n")
            pipe.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(90):
            for _ in range(5):
                assert await lab.kubectl("exec", "steady", "--", "echo", "hi") == "hi\n"
        cost = resident(node.core.pid) - memory[0], resident(lab.cloud.pid) - memory[1]
        assert max(cost) < 40.0, cost
    finally:
        for pipe in pipes:
            pipe.writer.transport.abort()
    await as_before(node, lab, before)
    await lab.kubectl("delete", "pod", "endless", "--wait=false")


@pytest.mark.parametrize("side", ["edge", "cloud"])
async def test_a_cut_ends_what_is_under_way_and_all_works_again(
    side: str, steady: Direct, lab: StreamLab, node: StreamNode
) -> None:
    await lab.apply(sleeper("talking", "while true; do date; sleep 0.2; done"))
    following = await lab.start_kubectl("logs", "-f", "talking")
    running = await lab.start_kubectl("exec", "steady", "--", "sleep", "1000")
    assert following.stdout is not None
    await asyncio.wait_for(following.stdout.readline(), 20)
    process = node.core if side == "edge" else lab.cloud
    process.stop(signal.SIGKILL)
    for client in (following, running):
        async with asyncio.timeout(30):
            assert client.stdout is not None
            await client.stdout.read()
            await client.wait()
    assert running.returncode != 0
    if side == "edge":
        refused = await lab.kubectl("logs", "talking", fails=True)
        assert "node edge1 has no tunnel to this CloudCore" in refused
    await asyncio.to_thread(process.start)
    async with asyncio.timeout(60):
        while True:
            try:
                await lab.kubectl("logs", "talking", "--tail=1")
                break
            except AssertionError:
                await asyncio.sleep(0.3)
    assert await lab.kubectl("exec", "steady", "--", "echo", "again") == "again\n"


async def test_without_the_runtime_who_asks_is_told_so(
    steady: Direct, lab: StreamLab, node: StreamNode, containerd: Containerd
) -> None:
    containerd.kill_daemon()
    try:
        refused = await lab.kubectl("exec", "steady", "--", "echo", "hi", fails=True)
        assert "no container runtime: nobody listens on" in refused
        assert "no container runtime" in await lab.kubectl("logs", "steady", fails=True)
    finally:
        containerd.start()
    async with asyncio.timeout(30):
        while True:
            try:
                assert await lab.kubectl("exec", "steady", "--", "echo", "hi") == "hi\n"
                return
            except AssertionError:
                await asyncio.sleep(0.3)
