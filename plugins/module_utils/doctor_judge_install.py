"""Checks of what is installed: services, runtime, secrets' modes, databases, the cloud's own endpoints."""

from __future__ import annotations

import re

from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import (
    NOT_INSTALLED,
    Unknown,
    bad,
    good,
    judges,
    warn,
)

QUIET_SECONDS = 600
LOOPING = 3
BACKLOG = 1000
ENABLED = ("enabled", "enabled-runtime")
"""What systemd says of units that are started at boot."""


@judges("HOST-UNIT")
def units(facts, wanted):
    """Services that are installed run, and do not restart again and again."""
    found = facts.need("units")
    if not found:
        raise Unknown("no service of the cluster is installed yet")
    findings = [_unit(name, unit) for name, unit in sorted(found.items())]
    return [finding for finding in findings if finding] or good("nothing that is enabled is down")


def _unit(name, unit):
    said = ": {}".format(unit["journal"]) if unit["journal"] else ""
    look = f"journalctl -u {name} -n 50"
    if name.startswith("edgelab-mapper-"):
        look += ", then correct mapper_instances and run playbooks/mappers.yml"
    if unit["sub"] == "auto-restart" or (unit["state"] == "activating" and unit["restarts"] >= LOOPING):
        return bad("restarts again and again ({} times){}".format(unit["restarts"], said), look, name)
    if unit["state"] == "failed":
        return bad(
            "failed ({}){}".format(unit["result"], said), f"{look}; then systemctl restart {name}", name
        )
    if unit["state"] == "active":
        if unit["restarts"] >= LOOPING and unit["up"] < QUIET_SECONDS:
            text = "runs for {:.0f} s after {} restarts{}".format(unit["up"], unit["restarts"], said)
            return warn(text, look, name)
        return good("runs", name)
    if unit["enabled"] in ENABLED and unit["state"] in ("inactive", "deactivating"):
        return bad("is enabled and does not run{}".format(said), f"systemctl start {name}", name)
    return warn("starts", look, name) if unit["state"] == "activating" else None


@judges("HOST-RUNTIME")
def runtime(facts, wanted):
    """The link `current` and what it leads to."""
    found = facts.need("runtime")
    if not found["installed"]:
        raise Unknown(NOT_INSTALLED)
    fix = "run site.yml --tags python_runtime"
    if not found["version"]:
        others = ", ".join(found["others"])
        return bad("the link current is missing" + (f"; installed are {others}" if others else ""), fix)
    if not found["complete"]:
        return bad("current leads to {}, which was not installed to its end".format(found["version"]), fix)
    if found["missing"]:
        return bad("{} lacks {}".format(found["version"], ", ".join(found["missing"])), fix)
    return good("version {} is complete".format(found["version"]))


@judges("HOST-SECRET-MODE")
def secrets(facts, wanted):
    """Files with secrets that others may read."""
    found = facts.need("secrets")
    if not found:
        raise Unknown("no file with secrets is there yet")
    open_ones = [
        bad(
            "mode {:04o}, owner {}".format(entry["mode"], entry["owner"]),
            "chmod 600 {0} && chown root:root {0}; change what it holds, if others may have read it".format(
                entry["path"]
            ),
            entry["path"],
        )
        for entry in found
        if entry["mode"] & 0o077 or entry["owner"] != 0
    ]
    return open_ones or good("{} files are for root only".format(len(found)))


@judges("HOST-DATABASE")
def databases(facts, wanted):
    """SQLite's quick check."""
    found = facts.need("databases")
    if not found:
        raise Unknown("no database is there yet")
    return [_database(entry["path"], entry["problem"]) for entry in found]


def _database(path, problem):
    if not problem:
        return good("SQLite finds no damage", path)
    if re.search(r"locked|busy", problem):
        raise Unknown(f"{path}: {problem}")
    if "edgecore" in path:
        fix = (
            f"systemctl stop edgecore; move {path} and {path}-wal away; systemctl start edgecore: "
            "the cloud sends everything again"
        )
    else:
        fix = f"stop the service, move {path} away, and restore the last backup of it"
    return bad(f"damaged: {problem}", fix, path)


@judges("CLOUD-HEALTH")
def cloud_health(facts, wanted):
    """CloudCore's health."""
    if "cloudcore.service" not in facts.need("units"):
        raise Unknown("CloudCore is no service of this host")
    found = facts.need("answers")["cloudcore"]
    if found["status"] == 200:
        return good("CloudCore says it is healthy")
    said = found["text"].strip().splitlines()[0] if found["text"].strip() else "nothing"
    return bad(f"CloudCore's /healthz: {said}", "journalctl -u cloudcore -n 50; systemctl restart cloudcore")


@judges("CLOUD-TIMESERIES")
def timeseries(facts, wanted):
    """VictoriaMetrics, where it is meant to run: the package alone starts nothing."""
    found = [unit for name, unit in facts.need("units").items() if name.startswith("victoria-metrics")]
    if not any(unit["enabled"] in ENABLED or unit["state"] != "inactive" for unit in found):
        return None
    found = facts.need("answers")["timeseries"]
    if found["status"] == 200:
        return good("VictoriaMetrics answers")
    return bad(
        f"VictoriaMetrics: {found['text'].strip()}", "systemctl restart victoria-metrics; is its disk full?"
    )


@judges("CLOUD-TWIN-LAG")
def twin_lag(facts, wanted):
    """The exporter's health and backlog."""
    if not any("twinexporter" in name for name in facts.need("units")):
        return None
    health = facts.need("answers")["exporter"]
    look = "journalctl -u edgelab-twinexporter -n 50"
    if health["status"] != 200:
        return bad("the twinexporter is not healthy: {}".format(health["text"].strip()), look)
    metrics = facts["answers"]["exporter_metrics"]["text"]
    waiting, dropped = (_metric(metrics, name) for name in ("waiting_lines", "dropped_total"))
    if waiting > BACKLOG:
        return bad(f"{waiting:.0f} samples wait to be written", f"systemctl status victoria-metrics; {look}")
    if dropped:
        return warn(
            f"{dropped:.0f} samples were dropped since it started", f"is VictoriaMetrics fast enough? {look}"
        )
    return good(f"{waiting:.0f} samples wait to be written")


@judges("CLOUD-CONSOLE")
def console(facts, wanted):
    """The web page's own health."""
    if "edgelab-console.service" not in facts.need("units"):
        return None
    found = facts.need("answers")["console"]
    if found["status"] == 200:
        return good("the console serves what it reads of the cluster")
    said = ", ".join(found["text"].strip().splitlines()) or "nothing"
    return bad(f"the console's /healthz: {said}", "journalctl -u edgelab-console -n 50")


def _metric(text, name):
    match = re.search(rf"^edgelab_twinexporter_{name} (\S+)$", text, re.MULTILINE)
    if not match:
        raise Unknown(f"the exporter does not tell {name}")
    return float(match.group(1))
