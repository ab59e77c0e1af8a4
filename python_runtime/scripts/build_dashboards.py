"""Build src/edgelab/data/dashboards/*.json with grafana-foundation-sdk.

Usage: `python scripts/build_dashboards.py` writes them, `--check` only tells whether they are current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

DASHBOARDS = Path(__file__).resolve().parents[1] / "src" / "edgelab" / "data" / "dashboards"
DATA_SOURCE = "edgelab-timeseries"
"""Uid of the data source that role grafana provisions."""

TEMPERATURE = "kubeedge_device_temperature"
ANY_PROPERTY = '{__name__=~"kubeedge_device_.+"'
CHOSEN = 'namespace=~"$namespace",node=~"$node",device=~"$device"'
WIDE, HALF, QUARTER = 24, 12, 6


def source() -> models.DataSourceRef:
    """The data source that every panel and variable asks."""
    return models.DataSourceRef(type_val="prometheus", uid=DATA_SOURCE)


def query(expression: str, legend: str = "", *, instant: bool = False) -> prometheus.Dataquery:
    """One query of a panel."""
    found = prometheus.Dataquery().ref_id("A").expr(expression).legend_format(legend)
    if instant:
        return found.instant().format(prometheus_models.PromQueryFormat.TABLE)
    return found.range()


def curve(title: str, expression: str, legend: str, unit: str, description: str) -> timeseries.Panel:
    """A panel with one line for each series."""
    legend_options = (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.TABLE)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["min", "mean", "max", "lastNotNull"])
    )
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(source())
        .unit(unit)
        .line_width(2)
        .fill_opacity(10)
        .show_points(common_models.VisibilityMode.NEVER)
        .span_nulls(30_000)
        .legend(legend_options)
        .with_target(query(expression, legend))
    )


def figure(title: str, expression: str, unit: str, description: str, warn: float | None = None) -> stat.Panel:
    """A panel with one number for each series; `warn` colours it."""
    steps = [models.Threshold(value=None, color="green")]
    if warn is not None:
        steps.append(models.Threshold(value=warn, color="orange"))
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(source())
        .unit(unit)
        .thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(query(expression, "{{device}}"))
        .span(QUARTER)
        .height(5)
    )


def variable(name: str, expression: str) -> dashboard.QueryVariable:
    """A choice at the top of the dashboard: all values of a label."""
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(source())
        .query(expression)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def blank(uid: str, title: str, description: str) -> dashboard.Dashboard:
    """A dashboard without panels and choices."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["edgelab", "kubeedge"])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .refresh("5s")
        .time("now-15m", "now")
        .timezone("browser")
    )


def frame(uid: str, title: str, description: str, series: str) -> dashboard.Dashboard:
    """A dashboard of devices without panels; `series` selects what the choices are taken from."""
    return (
        blank(uid, title, description)
        .with_variable(variable("namespace", f"label_values({series}, namespace)"))
        .with_variable(variable("node", f"label_values({series}, node)"))
        .with_variable(variable("device", f"label_values({series}, device)"))
    )


def cpu_temperature() -> dashboard.Dashboard:
    """The temperature of the edge nodes' CPUs."""
    chosen = f"{TEMPERATURE}{{{CHOSEN}}}"
    now, recent = f"last_over_time({chosen}[1m])", f"{chosen}[$__range]"
    return (
        frame(
            "edgelab-cpu-temperature",
            "CPU temperature",
            "What role cpu_temperature_demo reports.",
            TEMPERATURE,
        )
        .with_panel(figure("Now", now, "celsius", "The last reading of the last minute.", warn=75))
        .with_panel(
            figure("Highest", f"max_over_time({recent})", "celsius", "Within the time shown.", warn=75)
        )
        .with_panel(
            figure(
                "Samples a minute",
                f"count_over_time({chosen}[1m])",
                "short",
                "30 with a cycle of two seconds.",
            )
        )
        .with_panel(
            figure(
                "Age of the last sample",
                f"time() - tlast_over_time({chosen}[1h])",
                "s",
                "Grows while the node, its link or the mapper is away.",
                warn=30,
            )
        )
        .with_panel(
            curve(
                "Temperature", chosen, "{{device}} on {{node}}", "celsius", "Every reading that was reported."
            )
            .span(WIDE)
            .height(11)
        )
        .with_panel(
            curve(
                "Spread of a minute",
                f"max_over_time({chosen}[1m]) - min_over_time({chosen}[1m])",
                "{{device}}",
                "celsius",
                "The difference between the highest and the lowest reading of each minute.",
            )
            .span(HALF)
            .height(8)
        )
        .with_panel(
            curve(
                "Samples a minute",
                f"count_over_time({chosen}[1m])",
                "{{device}}",
                "short",
                "A gap is a time in which nothing came through.",
            )
            .span(HALF)
            .height(8)
        )
    )


def devices() -> dashboard.Dashboard:
    """Every numeric property of every device."""
    chosen = f"{ANY_PROPERTY},{CHOSEN}}}"
    latest = (
        table.Panel()
        .title("Last values")
        .description("The last value of each property, not older than an hour.")
        .datasource(source())
        .with_target(query(f"last_over_time({chosen}[1h])", instant=True))
        .span(WIDE)
        .height(9)
    )
    return (
        frame(
            "edgelab-devices",
            "Device twins",
            "What devices report, whatever their properties are.",
            ANY_PROPERTY + "}",
        )
        .with_panel(
            figure(
                "Devices",
                f"count(count(last_over_time({chosen}[5m])) by (namespace, device))",
                "short",
                "With a value in the last five minutes.",
            )
        )
        .with_panel(
            figure(
                "Properties",
                f"count(last_over_time({chosen}[5m]))",
                "short",
                "With a value in the last five minutes.",
            )
        )
        .with_panel(
            figure(
                "Samples a minute", f"sum(count_over_time({chosen}[1m]))", "short", "Of all devices chosen."
            )
        )
        .with_panel(
            figure(
                "Oldest device",
                f"max(time() - tlast_over_time({chosen}[1h]))",
                "s",
                "Age of the value that is oldest.",
                warn=60,
            )
        )
        .with_panel(
            curve("Properties", chosen, "{{device}} {{__name__}}", "short", "One line for each property.")
            .span(WIDE)
            .height(11)
        )
        .with_panel(
            curve(
                "Age of the last report",
                f"min(time() - tlast_over_time({chosen}[1h])) by (namespace, device)",
                "{{device}}",
                "s",
                "Grows while a device, its node or the link is away.",
            )
            .span(HALF)
            .height(8)
        )
        .with_panel(
            table.Panel()
            .title("States")
            .description("What each device says of itself, or offline after its time of silence.")
            .datasource(source())
            .with_target(query(f"edgelab_device_state{{{CHOSEN}}} == 1", instant=True))
            .span(HALF)
            .height(8)
        )
        .with_panel(latest)
    )


def fleet() -> dashboard.Dashboard:
    """The edge nodes, and the CloudCore that they are connected to."""
    connected = 'max(edgelab_cloudhub_node_connected{node=~"$node"}) by (node)'
    messages = "sum(rate(edgelab_cloudhub_{}_total[1m]))"
    return (
        blank("edgelab-fleet", "Edge fleet", "Edge nodes, and what CloudCore does for them.")
        .with_variable(variable("node", "label_values(edgelab_cloudhub_node_connected, node)"))
        .with_panel(figure("Connected", f"sum({connected})", "short", "Edge nodes with a connection."))
        .with_panel(
            figure("Away", f"count({connected}) - sum({connected})", "short", "Edge nodes without.", warn=1)
        )
        .with_panel(
            figure(
                "Messages that wait",
                "sum(edgelab_cloudhub_queued_messages)",
                "short",
                "For nodes, in CloudCore.",
                warn=1000,
            )
        )
        .with_panel(
            figure("CloudCores", "sum(up{job='cloudcore'})", "short", "That answer to VictoriaMetrics.")
        )
        .with_panel(
            curve("Nodes", connected, "{{node}}", "bool_on_off", "1 while a node is connected.")
            .span(WIDE)
            .height(9)
        )
        .with_panel(
            curve("From nodes", messages.format("received"), "received", "mps", "Messages a second.")
            .span(HALF)
            .height(8)
        )
        .with_panel(
            curve("To nodes", messages.format("sent"), "sent", "mps", "Messages a second.")
            .span(HALF)
            .height(8)
        )
        .with_panel(
            curve(
                "Memory of CloudCore",
                "process_resident_memory_bytes{job='cloudcore'}",
                "{{instance}}",
                "bytes",
                "Resident.",
            )
            .span(HALF)
            .height(8)
        )
        .with_panel(
            curve(
                "Processor of CloudCore",
                "rate(process_cpu_seconds_total{job='cloudcore'}[1m])",
                "{{instance}}",
                "percentunit",
                "Of one core.",
            )
            .span(HALF)
            .height(8)
        )
    )


BUILDERS = {"cpu-temperature": cpu_temperature, "devices": devices, "fleet": fleet}


def rendered(builder: Any) -> str:
    """A dashboard as the text of its file."""
    return JSONEncoder(sort_keys=True, indent=2).encode(builder().build()) + "\n"


def main() -> int:
    """Write or check the files; the exit status."""
    check = sys.argv[1:] == ["--check"]
    stale = []
    DASHBOARDS.mkdir(parents=True, exist_ok=True)
    for name, builder in BUILDERS.items():
        path = DASHBOARDS / f"{name}.json"
        text = rendered(builder)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if not check:
                path.write_text(text, encoding="utf-8")
    panels = {path.stem: len(json.loads(path.read_text())["panels"]) for path in DASHBOARDS.glob("*.json")}
    print(f"dashboards (panels): {panels}; {'stale' if check else 'written'}: {', '.join(stale) or 'none'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
