"""`/metrics` as Prometheus reads it: a real scraper, and the series that it makes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.component.twinexporter.conftest import VictoriaMetrics
from tests.component.twinexporter.process import Cluster, Exporter, until

NODE = {"device": "boiler", "namespace": "default", "node": "edge1"}
ODD = 'a "quoted" \\ name\nand°'


@pytest.fixture
def exporter(tmp_path: Path, cluster: Cluster, database: VictoriaMetrics) -> Iterator[Exporter]:
    exporter = Exporter(tmp_path, cluster, "--url", f"{database.url}/write")
    yield exporter
    exporter.kill()


@pytest.fixture
def scraper(tmp_path: Path, exporter: Exporter) -> Iterator[VictoriaMetrics]:
    config = tmp_path / "scrape.yaml"
    config.write_text(
        "scrape_configs:\n"
        "- job_name: twinexporter\n"
        "  scrape_interval: 1s\n"
        f"  static_configs: [{{targets: ['{exporter.address}']}}]\n",
        encoding="utf-8",
    )
    scraper = VictoriaMetrics(tmp_path / "scraper", f"-promscrape.config={config}")
    scraper.start()
    yield scraper
    scraper.stop()


def latest(scraper: VictoriaMetrics, name: str) -> dict[str, tuple[dict[str, str], float]]:
    """Labels and value of each series of that name, by the label that tells them apart."""
    found = {}
    for result in scraper.query(name):
        labels = {key: text for key, text in result["metric"].items() if key not in ("instance", "job")}
        labels.pop("__name__", None)
        value = float(result["value"][1])
        found[labels.pop("property", labels.get("state", ""))] = (labels, value)
    return found


def test_a_scraper_gets_every_number_its_time_and_the_state(
    cluster: Cluster, exporter: Exporter, scraper: VictoriaMetrics
) -> None:
    at = int(time.time() * 1000) - 5000
    exporter.start()
    cluster.report("boiler", at, state="online", heat="21.5", mode="eco", **{ODD: "-1e-3"})
    until(lambda: len(latest(scraper, "kubeedge_device_reported")) == 2, what=exporter.told())
    assert latest(scraper, "kubeedge_device_reported") == {"heat": (NODE, 21.5), ODD: (NODE, -0.001)}
    times = latest(scraper, "kubeedge_device_reported_timestamp_seconds")
    assert times["heat"] == (NODE, at / 1000)
    assert latest(scraper, "kubeedge_device_state") == {"online": ({**NODE, "state": "online"}, 1)}
    assert latest(scraper, "up")[""][1] == 1
    [parsed] = scraper.query("scrape_samples_scraped")
    lines = [line for line in exporter.get("/metrics").splitlines() if line and line[0] != "#"]
    assert int(parsed["value"][1]) == len(lines)

    cluster.report("boiler", at + 1000, state="offline", heat="22")
    until(lambda: latest(scraper, "kubeedge_device_reported") == {"heat": (NODE, 22.0)}, 30)
    assert latest(scraper, "kubeedge_device_state") == {"offline": ({**NODE, "state": "offline"}, 1)}


def test_it_can_be_switched_off(cluster: Cluster, tmp_path: Path, database: VictoriaMetrics) -> None:
    exporter = Exporter(tmp_path, cluster, "--url", f"{database.url}/write", "--no-device-metrics")
    try:
        cluster.report("boiler", int(time.time() * 1000), heat="21.5")
        exporter.start()
        until(lambda: exporter.counted("lines_total") == 1, what=exporter.told())
        assert "kubeedge_device" not in exporter.get("/metrics")
    finally:
        exporter.kill()
