"""`keadm debug collect`: one archive with what somebody needs who is to help; no token, no key."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from edgelab import KUBEEDGE_VERSION, __version__
from edgelab.keadm.config import masked
from edgelab.keadm.machine import Machine
from edgelab.keadm.report import Answer, Failure
from edgelab.settings.document import ConfigError, dump, read_yaml

LINES, MORE_LINES = 1000, 20000
LOG_BYTES = 8 << 20
HIDDEN = "********"
SECRETS = (
    re.compile(r"[0-9a-f]{64}\.[\w-]+\.[\w-]+\.[\w-]+"),
    re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL),
    re.compile(r"(?<=[Bb]earer )\S+"),
    re.compile(r"(?<=://)[^/@\s]+:[^/@\s]+(?=@)"),
    re.compile(r"(?im)(?<=password[=:])\s*\S+"),
)
FILES = (
    "/etc/os-release",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/cmdline",
)
COMMANDS = {
    "system/uname": ("uname", "-a"),
    "system/date": ("date", "--iso-8601=seconds"),
    "system/disks": ("df", "-h"),
    "system/mounts": ("findmnt", "--raw"),
    "system/addresses": ("ip", "-brief", "address"),
    "system/routes": ("ip", "route"),
    "system/ports": ("ss", "-ltnp"),
    "system/processes": ("ps", "-eo", "pid,ppid,rss,pcpu,comm"),
    "edgecore/unit-state": ("systemctl", "status", "--no-pager", "edgecore"),
    "runtime/unit-state": ("systemctl", "status", "--no-pager", "containerd"),
}


def scrubbed(text: str) -> str:
    """Without anything that lets somebody in."""
    for pattern in SECRETS:
        text = pattern.sub(HIDDEN, text)
    return text


def run_command(words: tuple[str, ...]) -> str:
    """What a program says, or why there is nothing."""
    program = shutil.which(words[0])
    if program is None:
        return f"there is no {words[0]} on this host\n"
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs
            [program, *words[1:]], capture_output=True, text=True, errors="replace", check=False, timeout=30
        )
    except subprocess.TimeoutExpired:
        return f"{words[0]} did not end within 30 s\n"
    return done.stdout + done.stderr


class Archive:
    """A tar.gz that is written at once; every text goes through `scrubbed`."""

    def __init__(self, tar: tarfile.TarFile, name: str, now: dt.datetime) -> None:
        self._tar, self._name, self._now = tar, name, now
        self.members: list[str] = []

    def add(self, member: str, text: str) -> None:
        """A text of its own."""
        data = scrubbed(text).encode()
        info = tarfile.TarInfo(f"{self._name}/{member}")
        info.size, info.mtime, info.mode = len(data), int(self._now.timestamp()), 0o600
        self._tar.addfile(info, io.BytesIO(data))
        self.members.append(member)

    def attempt(self, member: str, work: Callable[[], str]) -> None:
        """What `work` finds, or in its place why it found nothing."""
        try:
            text = work()
        except (OSError, Failure, ConfigError, ValueError) as error:
            text = f"not available: {error}\n"
        self.add(member, text)


def collect(
    machine: Machine, config: Path, directory: Path, logs: Path, now: dt.datetime, *, detail: bool
) -> Answer:
    """Write the archive, mode 0600. Raises OSError."""
    name = f"edge_{now:%Y%m%dT%H%M%SZ}"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.tar.gz"
    path.touch(mode=0o600)
    with tarfile.open(path, "w:gz") as tar:
        archive = Archive(tar, name, now)
        archive.add("version", f"edgelab {__version__}, KubeEdge {KUBEEDGE_VERSION}\n")
        for file in FILES:
            archive.attempt(f"system/{Path(file).name}", partial(_text, machine.path(file)))
        for member, words in COMMANDS.items():
            archive.add(member, run_command(words))
        _edgecore(archive, machine, config, logs, MORE_LINES if detail else LINES)
        _runtime(archive, machine, config)
        _mappers(archive, machine, MORE_LINES if detail else LINES)
        archive.add("contents", "\n".join(sorted(archive.members)) + "\n")
    return Answer({"file": str(path), "members": archive.members}, f"{path}: {len(archive.members)} files")


def _edgecore(archive: Archive, machine: Machine, config: Path, logs: Path, lines: int) -> None:
    from edgelab.keadm import diagnose_node, edge_store, units

    def settings() -> str:
        return dump(masked(read_yaml(_text(config), str(config))))

    def findings() -> str:
        found, _ = diagnose_node.diagnose(config, "")
        return "".join(f"{one.status} {one.code} {one.subject}: {one.found}\n" for one in found)

    archive.attempt("edgecore/edgecore.yaml", settings)
    archive.attempt("edgecore/edgecore.service", lambda: _text(units.unit_path(machine, "edgecore")))
    archive.attempt("edgecore/environment", lambda: _text(machine.path("/etc/default/edgecore")))
    archive.attempt("edgecore/certificate", lambda: certificate(machine, config))
    archive.attempt(
        "edgecore/database", lambda: json.dumps(edge_store.facts(database(machine, config)), indent=2)
    )
    archive.attempt("edgecore/diagnosis", findings)
    journal = ("journalctl", "--unit=edgecore", "--no-pager", "--output=short-iso", f"--lines={lines}")
    archive.add("edgecore/journal", run_command(journal))
    for file in sorted(logs.glob("*.log*")) if logs.is_dir() else [logs] if logs.is_file() else []:
        archive.attempt(f"edgecore/log/{file.name}", partial(_end, file))


def _runtime(archive: Archive, machine: Machine, config: Path) -> None:
    archive.attempt("runtime/config.toml", lambda: _text(machine.path("/etc/containerd/config.toml")))
    archive.attempt("runtime/state", lambda: runtime_state(_settings(config)))


def _mappers(archive: Archive, machine: Machine, lines: int) -> None:
    """Services of role mapper: unit, configuration without secrets, state and journal of each."""

    def settings(path: Path) -> str:
        return dump(masked(read_yaml(_text(path), str(path))))

    prefix = "edgelab-mapper-"
    for unit in sorted(machine.path("/etc/systemd/system").glob(f"{prefix}*.service")):
        name = unit.stem.removeprefix(prefix)
        place = f"mappers/{name}"
        archive.attempt(f"{place}/{unit.name}", partial(_text, unit))
        config = machine.path(f"/etc/edgelab/mappers/{name}/config.yaml")
        archive.attempt(f"{place}/config.yaml", partial(settings, config))
        archive.add(f"{place}/unit-state", run_command(("systemctl", "status", "--no-pager", unit.name)))
        journal = (
            "journalctl",
            f"--unit={unit.name}",
            "--no-pager",
            "--output=short-iso",
            f"--lines={lines}",
        )
        archive.add(f"{place}/journal", run_command(journal))


def database(machine: Machine, config: Path) -> Path:
    """Where EdgeCore's database is."""
    from edgelab.keadm.debug_get import configured

    return machine.path(configured(config))


def certificate(machine: Machine, config: Path) -> str:
    """Who the node's certificate is for and how long it is good; never the key."""
    from edgelab.identity.ca import load_certificate
    from edgelab.identity.inspect import facts

    hub = _settings(config).modules.edgeHub
    found = facts(load_certificate(machine.path(hub.tlsCertFile).read_bytes()))
    return f"{found}\n"


def runtime_state(settings: Any) -> str:
    """Version, sandboxes, containers and images, as the runtime tells."""
    from edgelab.cri.choice import connect
    from edgelab.cri.errors import CriError, RuntimeUnreachable

    kubelet = settings.modules.edged.tailoredKubeletConfig

    async def ask() -> str:
        runtime = connect(
            kubelet.containerRuntimeEndpoint,
            kubelet.image_endpoint,
            kind=settings.edgelab.runtimeType,
            deadline=10,
        )
        try:
            told = [await runtime.version(), await runtime.readiness()]
            told += [
                *await runtime.list_sandboxes(),
                *await runtime.list_containers(),
                *await runtime.images(),
            ]
        finally:
            runtime.close()
        return "\n".join(map(str, told)) + "\n"

    try:
        return asyncio.run(ask())
    except (CriError, RuntimeUnreachable) as error:
        raise Failure(str(error)) from None


def _settings(config: Path) -> Any:
    from edgelab.settings.document import load
    from edgelab.settings.edgecore import PROGRAM

    return load(config, PROGRAM.defaults(), PROGRAM.migrate).settings


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _end(path: Path) -> str:
    """The last part of a log."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        return file.read().decode(errors="replace")
