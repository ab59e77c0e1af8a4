"""Samples in a second database by Prometheus remote write: the exporter, vmagent and two VictoriaMetrics."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.component.twinexporter.conftest import VictoriaMetrics, free_port
from tests.component.twinexporter.process import Cluster, Exporter, until

SERIES = '{__name__=~"kubeedge_device_.+"}'


class VmAgent:
    """vmagent with the flags of role timeseries."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/write"
        self._command = [
            *(shutil.which("vmagent") or "vmagent", f"-httpListenAddr=127.0.0.1:{self.port}"),
            *(f"-remoteWrite.tmpDataPath={directory / 'queue'}", *flags),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    """The other database."""
    store = VictoriaMetrics(tmp_path / "store")
    store.start()
    yield store
    store.stop()


@pytest.fixture
def agent(tmp_path: Path, store: VictoriaMetrics) -> Iterator[VmAgent]:
    agent = VmAgent(tmp_path, f"-remoteWrite.url={store.url}/api/v1/write")
    agent.start()
    yield agent
    agent.stop()


@pytest.fixture
def exporter(
    tmp_path: Path, cluster: Cluster, database: VictoriaMetrics, agent: VmAgent
) -> Iterator[Exporter]:
    exporter = Exporter(tmp_path, cluster, "--url", f"{database.url}/write", "--url", agent.url)
    exporter.start()
    yield exporter
    exporter.kill()
    cluster.delete("boiler")


def same(one: VictoriaMetrics, other: VictoriaMetrics, samples: int) -> bool:
    """Whether both have so many samples and the same ones in series of the same names and labels."""
    here, there = ordered(one), ordered(other)
    return here == there and sum(len(series["values"]) for series in here) == samples


def ordered(database: VictoriaMetrics) -> list[dict[str, Any]]:
    return sorted(database.series(SERIES), key=lambda series: sorted(series["metric"].items()))


def test_both_databases_have_the_same_series_and_samples(
    cluster: Cluster, database: VictoriaMetrics, store: VictoriaMetrics, exporter: Exporter
) -> None:
    first = int(time.time() * 1000) - 60_000
    for step in range(3):
        cluster.report("boiler", first + step, temperature=f"2{step}.5", flow=str(step))
        until(lambda step=step: exporter.counted("lines_total") == 4 * (step + 1), what=exporter.told())
    until(lambda: same(database, store, 6), what=f"{ordered(database)} {ordered(store)}")
    labels = {"namespace": "default", "device": "boiler", "node": "edge1"}
    assert [series["metric"] for series in ordered(store)] == [
        {"__name__": "kubeedge_device_flow", **labels},
        {"__name__": "kubeedge_device_temperature", **labels},
    ]


def test_a_store_that_is_away_gets_everything_later_also_after_restarts(
    cluster: Cluster, database: VictoriaMetrics, store: VictoriaMetrics, agent: VmAgent, exporter: Exporter
) -> None:
    first = int(time.time() * 1000) - 60_000
    store.stop()
    cluster.report("boiler", first, temperature="1")
    until(lambda: exporter.counted("lines_total") == 2, what=exporter.told())
    exporter.kill()
    agent.stop()
    cluster.report("boiler", first + 1, temperature="2")
    exporter.start()
    until(lambda: exporter.counted("waiting_lines") == 1, what=exporter.told())
    agent.start()
    exporter.settle()
    store.start()
    until(lambda: same(database, store, 2), 90, what=exporter.told())


class Gate(BaseHTTPRequestHandler):
    """Notes what comes and answers as it is told."""

    seen: list[dict[str, str]]
    answers: list[int]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append({name.lower(): text for name, text in self.headers.items()})
        self.send_response(self.answers.pop(0) if self.answers else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def gate() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("ThisGate", (Gate,), {"seen": [], "answers": []}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_each_store_gets_its_own_login_and_a_busy_one_is_asked_again(
    tmp_path: Path, gate: ThreadingHTTPServer
) -> None:
    for name in ("password", "token"):
        (tmp_path / name).write_text(f"the-{name}\n", encoding="utf-8")
    url = f"http://127.0.0.1:{gate.server_port}"
    handler: Any = gate.RequestHandlerClass
    handler.answers = [503, 429, 503]
    agent = VmAgent(
        tmp_path,
        *(f"-remoteWrite.url={url}/{name}" for name in "abc"),
        "-remoteWrite.basicAuth.username=alice,,",
        f"-remoteWrite.basicAuth.passwordFile={tmp_path}/password,,",
        f"-remoteWrite.bearerTokenFile=,{tmp_path}/token,",
    )
    sink_line = f"kubeedge_device,device=d t=1 {time.time_ns()}\n"
    agent.start()
    try:
        until(lambda: post(agent.url, sink_line))
        until(lambda: len(handler.seen) == 6, 60)
    finally:
        agent.stop()
    logins = {seen.get("authorization") for seen in handler.seen}
    assert logins == {"Basic YWxpY2U6dGhlLXBhc3N3b3Jk", "Bearer the-token", None}
    for seen in handler.seen:
        assert (seen["content-encoding"], seen["content-type"]) == ("snappy", "application/x-protobuf")
        assert seen["x-prometheus-remote-write-version"] == "0.1.0"


def post(url: str, body: str) -> bool:
    words = ["curl", "--silent", "--fail", url, "--data-binary", body]
    return subprocess.run(words, check=False).returncode == 0


@pytest.mark.parametrize(("status", "requests"), [(400, 1), (401, 2), (422, 2)])
def test_a_refused_block_is_dropped_and_a_wrong_login_drops_nothing(
    tmp_path: Path, gate: ThreadingHTTPServer, status: int, requests: int
) -> None:
    handler: Any = gate.RequestHandlerClass
    handler.answers = [status]
    agent = VmAgent(tmp_path, f"-remoteWrite.url=http://127.0.0.1:{gate.server_port}/write")
    agent.start()
    try:
        until(lambda: post(agent.url, f"kubeedge_device,device=d t=1 {time.time_ns()}\n"))
        until(lambda: len(handler.seen) == requests)
        time.sleep(3)
    finally:
        agent.stop()
    assert len(handler.seen) == requests


def test_a_kill_of_vmagent_costs_what_was_under_way_and_the_last_seconds(
    tmp_path: Path, store: VictoriaMetrics
) -> None:
    store.stop()
    agent = VmAgent(tmp_path, f"-remoteWrite.url={store.url}/api/v1/write")
    agent.start()
    until(lambda: post(agent.url, "kubeedge_device,device=d t=1 1\n"))
    sent: list[int] = []
    began = time.monotonic()
    while time.monotonic() < began + 15:
        now = time.time_ns() // 1_000_000
        assert post(agent.url, f"kubeedge_device,device=d t=1 {now * 1_000_000}\n")
        sent.append(now)
        time.sleep(0.25)
    agent.stop(signal.SIGKILL)
    agent.start()
    store.start()

    def kept() -> set[int]:
        return {at for series in store.series("kubeedge_device_t") for at in series["timestamps"]}

    # Each of its two senders held a block of a second; the newest five seconds were not on the disk yet.
    safe = {at for at in sent if sent[0] + 4000 < at < sent[-1] - 7000}
    try:
        until(lambda: safe <= kept(), 60, f"{sent} {sorted(kept())}")
    finally:
        agent.stop()
    lost = sorted(set(sent) - kept())
    print(f"{len(lost)} of {len(sent)} samples in 15 s are lost: {[at - sent[0] for at in lost]} ms")
