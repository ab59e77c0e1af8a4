"""Each report is a sample exactly once, however the exporter ends: real processes, kill -9, no dedup."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.component.twinexporter.conftest import VictoriaMetrics
from tests.component.twinexporter.process import Cluster, Exporter, until

SAVED = 2.0
"""Seconds after which what was written is in the checkpoint for sure."""


@pytest.fixture(params=["dedup", "every copy"])
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[VictoriaMetrics]:
    """As role timeseries runs it, and one in which a sample that comes twice is there twice."""
    database = VictoriaMetrics(tmp_path / "vm", dedup=request.param == "dedup")
    database.start()
    yield database
    database.stop()


@pytest.fixture
def exporter(tmp_path: Path, cluster: Cluster, database: VictoriaMetrics) -> Iterator[Exporter]:
    exporter = Exporter(tmp_path, cluster, "--url", f"{database.url}/write")
    yield exporter
    exporter.kill()
    for device in ("boiler", "pump"):
        cluster.delete(device)


def times(database: VictoriaMetrics, name: str) -> list[int]:
    """The time of every copy of every sample."""
    found = database.series(f"kubeedge_device_{name}")
    return sorted(at for series in found for at in series["timestamps"])


def test_a_kill_neither_loses_nor_doubles_a_sample(
    cluster: Cluster, database: VictoriaMetrics, exporter: Exporter
) -> None:
    first = int(time.time() * 1000) - 60_000
    exporter.start()
    cluster.report("boiler", first, heat="1.5", flow="7")
    until(lambda: times(database, "heat") and times(database, "flow"), what=exporter.told())
    time.sleep(SAVED)
    database.stop()
    cluster.report("boiler", first + 1000, heat="2.5", flow="8")
    until(lambda: exporter.counted("waiting_lines") == 2, what=exporter.told())
    time.sleep(SAVED)
    exporter.kill(signal.SIGKILL)
    cluster.report("pump", first + 2000, speed="9")
    database.start()
    exporter.start()
    until(lambda: times(database, "speed"), what=exporter.told())
    exporter.settle()
    time.sleep(SAVED)
    exporter.kill(signal.SIGKILL)
    exporter.start()
    exporter.settle()
    assert times(database, "heat") == [first, first + 1000]
    assert times(database, "flow") == [first, first + 1000]
    assert times(database, "speed") == [first + 2000]
    assert exporter.counted("lines_total") == 0
    assert exporter.told().count("no checkpoint in") == 1


def test_a_stop_saves_at_once(cluster: Cluster, database: VictoriaMetrics, exporter: Exporter) -> None:
    first = int(time.time() * 1000) - 60_000
    for step in range(3):
        exporter.start()
        cluster.report("boiler", first + step, heat=str(step))
        until(lambda step=step: len(times(database, "heat")) == step + 1, what=exporter.told())
        exporter.kill(signal.SIGTERM)
    assert times(database, "heat") == [first, first + 1, first + 2]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_reports_while_it_was_away_all_arrive_once(
    cluster: Cluster, database: VictoriaMetrics, exporter: Exporter, end: int
) -> None:
    first = int(time.time() * 1000) - 60_000
    exporter.start()
    cluster.report("boiler", first, heat="0", flow="7")
    until(lambda: times(database, "heat") and times(database, "flow"), what=exporter.told())
    time.sleep(SAVED)
    exporter.kill(end)
    moments = [first + step * 1000 for step in range(1, 6)]
    for moment in moments:
        cluster.report("boiler", moment, heat=str(moment % 100_000))
    cluster.report("pump", first, speed="1")  # a device that is new, whose first report is not its last
    cluster.report("pump", first + 1, speed="2")
    exporter.start()
    until(lambda: len(times(database, "speed")) == 2, what=exporter.told())
    exporter.settle()
    assert times(database, "heat") == [first, *moments]
    assert times(database, "flow") == [first]
    assert exporter.counted("lines_total") == 7
    exporter.kill(signal.SIGTERM)
    exporter.start()
    exporter.settle()
    assert exporter.counted("lines_total") == 0


def test_an_api_that_was_set_back_costs_only_the_reports_between(
    cluster: Cluster, database: VictoriaMetrics, exporter: Exporter
) -> None:
    first = int(time.time() * 1000) - 60_000
    exporter.start()
    cluster.report("boiler", first, heat="0")
    until(lambda: times(database, "heat"), what=exporter.told())
    exporter.kill(signal.SIGTERM)
    with sqlite3.connect(exporter.state / "checkpoint.sqlite") as file:
        assert file.execute("UPDATE watch SET version = '9999999'").rowcount == 1
    file.close()
    cluster.report("boiler", first + 1, heat="1")
    exporter.start()
    until(lambda: len(times(database, "heat")) == 2, what=exporter.told())
    exporter.settle()
    assert times(database, "heat") == [first, first + 1]


def test_a_device_that_was_deleted_meanwhile_leaves_the_checkpoint(
    cluster: Cluster, database: VictoriaMetrics, exporter: Exporter
) -> None:
    first = int(time.time() * 1000) - 60_000
    exporter.start()
    cluster.report("boiler", first, heat="1")
    cluster.report("pump", first, speed="1")
    until(lambda: times(database, "heat") and times(database, "speed"), what=exporter.told())
    exporter.kill(signal.SIGTERM)
    cluster.delete("pump")
    exporter.start()
    exporter.settle()
    exporter.kill(signal.SIGTERM)
    cluster.report("pump", first, speed="1")
    exporter.start()
    exporter.settle()
    until(lambda: exporter.counted("lines_total") == 1, what=exporter.told())
    assert times(database, "heat") == [first]


def test_damage_of_the_checkpoint_writes_again_under_the_same_times(
    cluster: Cluster, database: VictoriaMetrics, exporter: Exporter, request: pytest.FixtureRequest
) -> None:
    first = int(time.time() * 1000) - 60_000
    exporter.start()
    cluster.report("boiler", first, heat="1")
    until(lambda: times(database, "heat"), what=exporter.told())
    exporter.kill(signal.SIGTERM)
    (exporter.state / "checkpoint.sqlite").write_bytes(b"power cut" * 1000)
    exporter.start()
    until(lambda: exporter.counted("lines_total") == 1, what=exporter.told())
    copies = 2 if "every copy" in request.node.name else 1
    assert times(database, "heat") == [first] * copies
    assert exporter.told().count("is damaged") == 1
