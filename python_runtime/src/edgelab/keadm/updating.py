"""The steps of `keadm config-update`: other settings, and the old ones when EdgeCore does not take them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.keadm import units, upgrading
from edgelab.keadm.files import write_private
from edgelab.keadm.machine import Machine, run_script
from edgelab.keadm.report import Answer, Failure
from edgelab.keadm.steps import Report, Tell

DAEMON = "edgecore"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    config: Path
    settings: dict[str, Any]
    pre_run: str
    post_run: str
    timeout: float
    dry_run: bool


def run(request: Request, machine: Machine, tell: Tell) -> Answer:
    """Change, restart, wait. Raises Failure; ConfigError for a setting that is wrong."""
    machine.must_be_root("keadm config-update")
    config = machine.path(request.config)
    if not config.exists():
        raise Failure(f"there is no {config}: `keadm join` makes it")
    before = config.read_text(encoding="utf-8")
    report = Report(request.dry_run, tell)
    if request.pre_run and not request.dry_run:
        run_script(request.pre_run, "pre")
    change = upgrading.Request(DAEMON, "", request.config, request.settings, timeout=request.timeout)
    try:
        report.run(upgrading.settings_step(change, machine))
        if report.changed:
            report.run(units.start(machine, DAEMON, report, after=("configuration",)))
            problem = upgrading.healthy(change, machine)
            report.run([units.wait("ready", "wait until edgecore works", problem, request.timeout)])
    except Failure as failure:
        write_private(config, before)
        machine.units.do("restart", DAEMON)
        raise Failure(f"{failure}; {config} is as it was", **failure.data) from failure
    if request.post_run and not request.dry_run:
        run_script(request.post_run, "post")
    return report.answer(f"{config} is up to date", config=str(config))
