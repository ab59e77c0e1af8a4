"""The steps of `keadm upgrade`, `backup` and `rollback`: one daemon of this host, there and back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from edgelab.keadm import backups, units
from edgelab.keadm.files import write_public
from edgelab.keadm.machine import Machine, run_script
from edgelab.keadm.report import Answer, Failure
from edgelab.keadm.runtimes import Runtimes, run, unit_of
from edgelab.keadm.steps import Report, Step, Tell, needed

BACKUPS = "/etc/kubeedge/backup"
LOCK = "/etc/kubeedge/idempotency_record"
RESULT = "/etc/kubeedge/upgrade_report.json"


@dataclass(frozen=True, slots=True)
class Request:
    """`version` is empty for the one that keadm runs from, or for a rollback the one before."""

    daemon: str
    version: str
    config: Path
    settings: dict[str, Any]
    pre_run: str = ""
    post_run: str = ""
    dry_run: bool = False
    timeout: float = 60.0


def contents(request: Request, machine: Machine) -> backups.Contents:
    """What is backed up of the daemon."""
    config = machine.path(request.config)
    files = {config.name: config, f"{request.daemon}.service": units.unit_path(machine, request.daemon)}
    files["environment"] = machine.path(f"/etc/default/{request.daemon}")
    if request.daemon == "cloudcore":
        return backups.Contents(files)
    from edgelab.keadm.debug_get import configured

    return backups.Contents(files, machine.path(configured(config)))


def upgrade(request: Request, machine: Machine, tell: Tell) -> Answer:
    """Check, back up, switch, restart, wait; go back when the new version does not work. Raises Failure."""
    machine.must_be_root(f"keadm upgrade of {request.daemon}")
    report = Report(request.dry_run, tell)
    runtimes = Runtimes(machine.path(units.RUNTIME))
    old = runtimes.linked("current")
    if old is None or not machine.path(request.config).exists():
        raise Failure(f"there is no {request.daemon} on this host to upgrade: keadm init or join sets it up")
    new = runtimes.find(request.version, request.daemon)
    run(new, request.daemon, "--check-config", str(machine.path(request.config)))
    with locked(machine.path(LOCK), request.dry_run):
        if request.pre_run and not request.dry_run:
            run_script(request.pre_run, "pre")
        if old != new:
            report.run([back_up(request, machine, old.name)])
        try:
            report.run(switch(request, machine, new, report))
        except Failure as failure:
            if request.dry_run or old == new:
                raise
            go_back(request, machine, runtimes, old)
            note(machine, request, old.name, new.name, f"rolled back: {failure}")
            raise Failure(
                f"{new.name} does not work and {request.daemon} is {old.name} again: {failure}",
                **failure.data,
                rolled_back=True,
            ) from failure
        if request.post_run and not request.dry_run:
            run_script(request.post_run, "post")
    if report.changed and not request.dry_run:
        note(machine, request, old.name, new.name, "success")
    return report.answer(f"{request.daemon} is {new.name}", before=old.name, version=new.name)


def roll_back(request: Request, machine: Machine, tell: Tell) -> Answer:
    """Back to an earlier version with its configuration. Raises Failure."""
    machine.must_be_root(f"keadm rollback of {request.daemon}")
    report = Report(request.dry_run, tell)
    runtimes = Runtimes(machine.path(units.RUNTIME))
    previous = runtimes.linked("previous")
    if not request.version and previous is None:
        raise Failure("there is no version before this one: name one with --historical-version")
    old = runtimes.find(request.version, request.daemon) if request.version else previous
    if old is None or not (old / "bin" / request.daemon).exists():
        raise Failure(f"{old} is not on this host any more; there are: {', '.join(runtimes.versions())}")
    backup = machine.path(BACKUPS) / old.name
    if not (backup / backups.MANIFEST).exists():
        raise Failure(f"there is no backup of {old.name} below {backup.parent}")
    current = runtimes.linked("current")
    with locked(machine.path(LOCK), request.dry_run):
        if request.pre_run and not request.dry_run:
            run_script(request.pre_run, "pre")
        if current != old:
            restore = Step(
                "restore", lambda: f"{backup} is put back", lambda: restored(request, machine, backup)
            )
            report.run([restore, *switch(request, machine, old, report)])
        if request.post_run and not request.dry_run:
            run_script(request.post_run, "post")
    return report.answer(f"{request.daemon} is {old.name}", version=old.name)


def back_up_only(request: Request, machine: Machine, tell: Tell) -> Answer:
    """A backup of the version that runs. Raises Failure."""
    machine.must_be_root(f"keadm backup of {request.daemon}")
    current = Runtimes(machine.path(units.RUNTIME)).linked("current")
    if current is None:
        raise Failure(f"there is no {request.daemon} on this host to back up")
    report = Report(request.dry_run, tell)
    report.run([back_up(request, machine, current.name)])
    return report.answer(f"backup of {current.name}", backup=str(machine.path(BACKUPS) / current.name))


def back_up(request: Request, machine: Machine, version: str) -> Step:
    """Configuration, unit, environment and database."""
    directory = machine.path(BACKUPS)

    def do() -> None:
        backups.save(directory, version, contents(request, machine))

    return Step("backup", lambda: f"into {directory / version}", do)


def switch(request: Request, machine: Machine, venv: Path, report: Report) -> list[Step]:
    """Link, settings, unit, restart, and waiting until the daemon works."""
    runtimes = Runtimes(machine.path(units.RUNTIME))
    path = units.unit_path(machine, request.daemon)
    text = unit_of(venv, request.daemon)

    def other_unit() -> bool:
        return bool(text) and (not path.exists() or path.read_text(encoding="utf-8") != text)

    def new_unit() -> None:
        write_public(path, text)
        machine.units.do("daemon-reload")

    def other_version() -> bool:
        return runtimes.linked("current") != venv

    link = needed(f"{runtimes.root}/current becomes {venv.name}", when=other_version)
    steps = [Step("version", link, lambda: runtimes.activate(venv)), *settings_step(request, machine)]
    steps.append(Step("unit", needed(f"{path} is written", when=other_unit), new_unit))
    causes = ("version", "configuration", "unit", "restore")
    steps += units.start(machine, request.daemon, report, after=causes)
    problem = healthy(request, machine)
    return [*steps, units.wait("ready", f"wait until {request.daemon} works", problem, request.timeout)]


def settings_step(request: Request, machine: Machine) -> list[Step]:
    """Settings of --set."""
    if not request.settings:
        return []
    from edgelab.keadm.config import Component, merge_file

    config, component = machine.path(request.config), Component(request.daemon)

    def look() -> str:
        changed = merge_file(component, config, request.settings, check=True).data["changed"]
        return f"{config} is written" if changed else ""

    def do() -> None:
        merge_file(component, config, request.settings, check=False)

    return [Step("configuration", look, do)]


def healthy(request: Request, machine: Machine) -> Callable[[], str]:
    """Why the daemon does not work; nothing when it does."""
    journal = f"see `journalctl -u {request.daemon} -n 20`"

    def problem() -> str:
        if not machine.units.active(request.daemon):
            return f"{request.daemon} does not run: {journal}"
        url = health_url(request.daemon, machine.path(request.config))
        if not url:
            return ""
        try:
            urlopen(url, timeout=5).close()  # noqa: S310 - an address of this host
        except (URLError, OSError) as error:
            return f"{url} does not answer ({error}): {journal}"
        return ""

    return problem


def health_url(daemon: str, config: Path) -> str:
    """Where the daemon tells whether it works; nothing when that is switched off."""
    from edgelab.settings import cloudcore, edgecore
    from edgelab.settings.document import load

    if daemon == "cloudcore":
        cloud = load(config, cloudcore.CloudCore(), cloudcore.PROGRAM.migrate).settings
        return f"http://{cloud.commonConfig.monitorServer.bindAddress}/healthz"
    edge = load(config, edgecore.EdgeCore(), edgecore.PROGRAM.migrate).settings
    kubelet = edge.modules.edged.tailoredKubeletConfig
    return f"http://127.0.0.1:{kubelet.readOnlyPort}/healthz/syncloop" if kubelet.readOnlyPort else ""


def go_back(request: Request, machine: Machine, runtimes: Runtimes, old: Path) -> None:
    """The version, files and unit before. Raises Failure when not even that works."""
    runtimes.return_to(old)
    restored(request, machine, machine.path(BACKUPS) / old.name)
    machine.units.do("start", request.daemon)
    units.wait("back", "", healthy(request, machine), request.timeout).do()


def restored(request: Request, machine: Machine, backup: Path) -> None:
    """Put a backup back, with the daemon stopped: nobody may write the database meanwhile."""
    if machine.units.active(request.daemon):
        machine.units.do("stop", request.daemon)
    backups.restore(backup)
    machine.units.do("daemon-reload")


@contextmanager
def locked(path: Path, dry_run: bool) -> Iterator[None]:
    """One upgrade at a time; the record of a keadm that is gone is taken over. Raises Failure."""
    if dry_run:
        yield
        return
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        holder = path.read_text(encoding="utf-8").strip()
        if holder.isdigit() and Path(f"/proc/{holder}").exists() and int(holder) != os.getpid():
            raise Failure(f"another keadm (process {holder}) upgrades this host: {path}") from None
        path.write_text(str(os.getpid()), encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def note(machine: Machine, request: Request, before: str, after: str, result: str) -> None:
    """What became of the upgrade, for whoever looks later (KubeEdge's upgrade_report.json)."""
    data = {"component": request.daemon, "fromVersion": before, "toVersion": after, "result": result}
    write_public(machine.path(RESULT), json.dumps(data, indent=2) + "\n")
