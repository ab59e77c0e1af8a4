"""Commands, attaches and ports of pods in a real dockerd, by SPDY and by WebSocket of EdgeCore's own."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.component.edged.conftest import Bench, busybox, make_pod
from tests.component.edged.spdy_client import PORTS, Client, connect, request
from tests.edgecore.websocket_client import Client as WebSocketClient

from edgelab.edgecore.edged.streams.routes import Streams

Obj = dict[str, Any]
FLOOD = 8 << 20
"""Bytes: more than all buffers between a container and its client."""


async def started(bench: Bench, pod: Obj) -> tuple[Streams, str]:
    edged = await bench.start()
    bench.apply(pod)
    await bench.phase(pod, "Running")
    return edged.streams(), f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def shell(script: str, **container: Any) -> Obj:
    return make_pod("streams", busybox("sh", "-c", script, **container), terminationGracePeriodSeconds=1)


def command(script: str, streams: str) -> str:
    return (
        f"{streams}&command=sh&command=-c&" + f"command={''.join(f'%{byte:02x}' for byte in script.encode())}"
    )


async def execute(
    streams: Streams, where: str, script: str, *, stdin: bytes | None = None
) -> dict[str, bytes]:
    """Run it to its end by SPDY, and give each stream."""
    asked = command(script, "output=1&error=1" + ("" if stdin is None else "&input=1"))
    client = await connect(streams, request(f"/exec/{where}/main", asked))
    client.open_all("error", *([] if stdin is None else ["stdin"]), "stdout", "stderr")
    try:
        if stdin is None:
            return await client.outputs()
        sending = asyncio.create_task(send_all(client, stdin))
        found = await client.outputs()
        await sending
        return found
    finally:
        client.close()


async def send_all(client: Client, data: bytes) -> None:
    for start in range(0, len(data), 32768):
        client.send("stdin", data[start : start + 32768])
        await client.pipe.writer.drain()
    client.send("stdin", b"", final=True)


def commands(text: str) -> list[int]:
    """Processes of this machine whose command line has the text."""
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and text.encode() in (path / "cmdline").read_bytes().replace(b"\0", b" "):
                found.append(int(path.name))
        except OSError:
            continue
    return found


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.05)


async def test_a_command_has_input_outputs_and_an_exit_code(bench: Bench) -> None:
    streams, where = await started(bench, shell("sleep 600"))
    before = len(os.listdir("/proc/self/fd"))
    found = await execute(streams, where, "cat; echo oops >&2; exit 3", stdin=bytes(range(256)))
    assert (found["stdout"], found["stderr"]) == (bytes(range(256)), b"oops\n")
    assert json.loads(found["error"])["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    found = await execute(streams, where, "echo hi")
    assert (found["stdout"], json.loads(found["error"])) == (b"hi\n", {"metadata": {}, "status": "Success"})
    client = await connect(streams, request(f"/exec/{where}/main", "output=1&command=nosuchprogram"))
    client.open_all("error", "stdout")
    found = await client.outputs()
    client.close()
    assert b"nosuchprogram" in found["stdout"]
    assert json.loads(found["error"])["details"]["causes"][0]["message"] in ("126", "127")
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_much_output_comes_whole_and_a_reader_that_waits_holds_it_up(bench: Bench) -> None:
    streams, where = await started(bench, shell("sleep 600"))
    data = os.urandom(1 << 20) * (FLOOD >> 20)
    found = await execute(streams, where, "cat", stdin=data)
    assert found["stdout"] == data
    found = await execute(streams, where, "yes | head -c 300000; head -c 5", stdin=data[: FLOOD // 4])
    assert found["stdout"] == b"y\n" * 150_000 + data[:5], "what a command said before it left its input"
    asked = command("yes 0123456789abcde | head -c 8388608; echo end >&2", "output=1&error=1")
    client = await connect(streams, request(f"/exec/{where}/main", asked))
    client.open_all("error", "stdout", "stderr")
    await until(lambda: commands("yes 0123456789abcde"))
    await asyncio.sleep(1)
    assert commands("yes 0123456789abcde"), "nobody has read, and it is done"
    found = await client.outputs()
    client.close()
    assert found["stdout"] == b"0123456789abcde\n" * (FLOOD // 16)
    assert found["stderr"] == b"end\n"


async def test_a_terminal_is_one_and_has_the_size_that_it_is_told(bench: Bench) -> None:
    streams, where = await started(bench, shell("sleep 600"))
    asked = command("tty; read x; stty size; read x; stty size; exit 5", "input=1&output=1&tty=1")
    client = await connect(streams, request(f"/exec/{where}/main", asked))
    client.open_all("error", "stdin", "stdout", "resize")
    client.send("resize", b'{"Width":91,"Height":17}\n')
    seen, status, steps = b"", b"", [b"17 91", b"33 101"]
    async for name, data, final in client.frames():
        seen += data if name == "stdout" else b""
        status += data if name == "error" else b""
        if b"/dev/pts/" in seen and len(steps) == 2:
            await asyncio.sleep(0.5)  # a size goes a way of its own
            client.send("stdin", b"\n")
            steps.append(b"")
        if b"17 91" in seen and len(steps) == 3:
            client.send("resize", b'{"Width":101,"Height":33}\n')
            await asyncio.sleep(0.5)
            client.send("stdin", b"\x10\x11\n")  # at which Docker would leave
            steps.append(b"")
        if name == "error" and final:
            break
    client.close()
    assert b"17 91" in seen
    assert b"33 101" in seen
    assert json.loads(status)["details"]["causes"][0]["message"] == "5"


async def test_what_a_client_leaves_is_ended_with_what_it_started(bench: Bench) -> None:
    streams, where = await started(bench, shell("sleep 600"))
    for script, wanted in (("sleep 7301 & sleep 7302", "output=1"), ("sleep 7303", "input=1&output=1&tty=1")):
        client = await connect(streams, request(f"/exec/{where}/main", command(script, wanted)))
        client.open_all("error", *(["stdin", "resize"] if "tty" in wanted else []), "stdout")
        await until(functools.partial(commands, script.rpartition(" & ")[2]))
        client.pipe.writer.transport.abort()
        await until(lambda: not commands("sleep 730"))
    client = await connect(streams, request(f"/exec/{where}/main", command("sleep 7304", "output=1")))
    client.open_all("error", "stdout")
    client.pipe.writer.transport.abort()  # maybe before it runs
    await asyncio.sleep(1)
    await until(lambda: not commands("sleep 7304"))


async def test_attach_joins_what_runs_and_leaves_it_running(bench: Bench) -> None:
    """A client that has no more to say is told what comes, as containerd does."""
    pod = shell("while read line; do sleep 0.3; echo got $line; echo err >&2; done", stdin=True)
    streams, where = await started(bench, pod)
    for word in ("one", "two"):
        client = await connect(streams, request(f"/attach/{where}/main", "input=1&output=1&error=1"))
        client.open_all("error", "stdin", "stdout", "stderr")
        client.send("stdin", f"{word}\n".encode(), final=True)
        found = {"stdout": b"", "stderr": b"", "error": b""}
        async for name, data, _ in client.frames():
            found[name] += data
            if found["stdout"] and found["stderr"]:
                break
        client.close()
        assert (found["stdout"], found["stderr"]) == (f"got {word}\n".encode(), b"err\n")
    status = bench.status(pod)["containerStatuses"][0]
    assert (status["restartCount"], "running" in status["state"]) == (0, True)


async def test_attach_ends_with_the_container_and_with_its_input_where_the_pod_says_so(bench: Bench) -> None:
    pod = shell("cat; echo bye", stdin=True, stdinOnce=True)
    pod["spec"]["restartPolicy"] = "Never"
    streams, where = await started(bench, pod)
    client = await connect(streams, request(f"/attach/{where}/main", "input=1&output=1"))
    client.open_all("error", "stdin", "stdout")
    client.send("stdin", b"once\n", final=True)
    found = await client.outputs("error")
    client.close()
    assert found["stdout"] == b"once\nbye\n"
    assert json.loads(found["error"])["status"] == "Success"


async def test_ports_are_those_of_the_pods_own_network(bench: Bench) -> None:
    """One answers only after the client's half close; one listens on the pod's loopback only."""
    server = "nc -ll -p 8080 -e sh -c 'cat; echo end' & httpd -f -p 127.0.0.1:8081 -h /etc"
    streams, where = await started(bench, shell(server))
    async with asyncio.timeout(30):
        while (found := await execute(streams, where, "netstat -ltn"))["stdout"].count(b":808") < 2:
            await asyncio.sleep(0.1)
    client = await connect(streams, request(f"/portForward/{where}", headers=PORTS))
    pairs = [("8080", "0"), ("8081", "1"), ("9999", "2")]
    for port, number in pairs:
        for kind in ("error", "data"):
            client.open(f"{kind}{port}", {"streamtype": kind, "port": port, "requestid": number})
    data = os.urandom(100_000)
    client.send("data8080", data, final=True)
    client.send("data8081", b"GET /hostname HTTP/1.0\r\n\r\n")
    found = dict.fromkeys(client.names.values(), b"")
    ended: set[str] = set()
    async for name, part, final in client.frames():
        found[name] += part
        ended |= {name} if final else set()
        if len(ended) == 6:
            break
    client.close()
    assert found["data8080"] == data + b"end\n"
    assert found["data8081"].endswith(where.rpartition("/")[2].encode() + b"\n")
    assert found["error8080"] == found["error8081"] == b""
    assert b"error forwarding port 9999: " in found["error9999"]
    assert b"refused" in found["error9999"].lower()


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_a_websocket_has_the_same_streams(bench: Bench, protocol: str) -> None:
    streams, where = await started(bench, shell("httpd -p 8080 -h /etc; sleep 600"))
    closes = protocol.startswith("v5")
    script = "cat; echo oops >&2; exit 3" if closes else "read x; echo $x; echo oops >&2; exit 3"
    asked = command(script, "input=1&output=1&error=1")
    client = await WebSocketClient.connected(streams, f"/exec/{where}/main", asked, protocol)
    client.send(0, b"word\n")
    if closes:
        client.send(255, b"\0")
    found = await client.received()
    assert (found[1], found[2]) == (b"word\n", b"oops\n")
    assert json.loads(found[3])["details"]["causes"][0]["message"] == "3"
    if closes:
        return
    client = await WebSocketClient.connected(streams, f"/portForward/{where}", "port=8080", protocol)
    client.send(0, b"GET /hostname HTTP/1.0\r\n\r\n")
    found = await client.received()
    assert found[0].startswith(b"\x90\x1fHTTP/1.")
    assert found[1] == b"\x90\x1f"
