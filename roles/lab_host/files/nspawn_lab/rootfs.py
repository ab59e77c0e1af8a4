"""The root file system that every host of a lab is an overlay on: built once, kept in the cache.

Built by mmdebstrap from the machine's own Debian mirror. The folder's name is the hash of what decides
its content, so another list of packages is another root file system beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from nspawn_lab import emulation
from nspawn_lab.locks import exclusive
from nspawn_lab.shell import LabError, run, say

SUITE = "bookworm"
"""Debian's release on hosts for which no other one is asked."""
MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
HOOKS = Path("/usr/share/mmdebstrap/hooks/eatmydata")
QUIET_UNITS = (
    # A lab is a calm place: nothing runs by the clock, nothing waits for a keyboard.
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "console-getty.service",
    "getty@.service",
    "systemd-modules-load.service",
    "systemd-networkd-wait-online.service",
)
KEEP_STOPPED = ("containerd", "mosquitto", "victoria-metrics", "nftables", "nginx")
"""Services whose packages are only there to save time: what is to run is for the roles to say."""
CGROUPS_NAME = "edgelab-lab-cgroups.service"
CGROUPS_UNIT = """\
[Unit]
Description=Let containers inside this lab host have cgroups of their own
Documentation=https://systemd.io/CONTAINER_INTERFACE/
DefaultDependencies=no
Before=sysinit.target
ConditionPathIsDirectory=/sys/fs/cgroup/memory

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for d in /sys/fs/cgroup/*; do ! mountpoint -q $$d || mount -o remount,bind,rw $$d; done'

[Install]
WantedBy=sysinit.target
"""


def key(packages: list[str], suite: str = SUITE, architecture: str | None = None) -> str:
    """The name of the root file system with `packages`: a hash of all that decides its content."""
    architecture = architecture or emulation.native()
    recipe = [suite, architecture, CGROUPS_UNIT, *mmdebstrap(packages, architecture)]
    recipe += [*customization(Path(CGROUPS_NAME)), *emulation.hooks(architecture, Path("kit"))]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]


def build(
    cache: Path, packages: list[str], suite: str = SUITE, architecture: str | None = None
) -> tuple[Path, bool]:
    """The root file system with `packages`, and whether it had to be built.

    Raises:
        LabError: mmdebstrap failed; its last lines are in the log that the message names.
    """
    architecture = architecture or emulation.native()
    target = cache / "rootfs" / key(packages, suite, architecture)
    if target.is_dir():
        return target, False
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two labs may want it at once: the second one waits, and finds it there.
    with exclusive(target.with_suffix(".lock")):
        if target.is_dir():
            return target, False
        _make(target, packages, suite, architecture)
    return target, True


def _make(target: Path, packages: list[str], suite: str, architecture: str) -> None:
    draft = target.with_suffix(".partial")
    if draft.exists():
        shutil.rmtree(draft)
    unit, log, kit = (draft.with_suffix(suffix) for suffix in (".unit", ".log", ".kit"))
    unit.write_text(CGROUPS_UNIT, encoding="utf-8")
    duration = "ten minutes" if emulation.is_foreign(architecture) else "half a minute"
    say(
        f"building the hosts' root file system ({suite}, {architecture}) with {len(packages)} packages"
        f" (once; {duration})"
    )
    hooks = [*customization(unit), *emulation.hooks(architecture, kit)]
    command = mmdebstrap(packages, architecture) + [f"--customize-hook={hook}" for hook in hooks]
    try:
        for name, part in emulation.kit(architecture, suite).items():
            extract(kit / name, part, log)
        _run(command, suite, draft, log, emulation.preparation(architecture, kit))
    finally:
        unit.unlink()
        shutil.rmtree(kit, ignore_errors=True)
    draft.rename(target)
    log.unlink(missing_ok=True)


def extract(target: Path, part: emulation.Part, log: Path) -> None:
    """Unpacks packages and what they depend on into `target`; nothing of them is run."""
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["mmdebstrap", "--mode=root", "--variant=extract", "--format=directory"]
    command += [f"--architectures={part.architecture}", f"--include={part.packages}"]
    command += ["--dpkgopt=path-exclude=/usr/bin/*", f"--dpkgopt=path-include=/usr/bin/{part.programs}"]
    _run(command, part.suite, target, log)


def _run(command: list[str], suite: str, target: Path, log: Path, preparation: str = "") -> None:
    """Runs mmdebstrap with this machine's way to the mirrors; `preparation` is shell before it."""
    # A mount namespace of its own: mount(8) would leave notes in this machine's /run.
    script = f'set -e; mount -n -t tmpfs tmpfs /run; {preparation} exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", *command, f"--logfile={log}"]
    words += [f"--aptopt={option}" for option in apt_options()]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run([*words, suite, str(target), "-"], text="\n".join(sources(suite)) + "\n", env=environment)
    except LabError as error:
        raise LabError(
            f"mmdebstrap could not build the root file system: {reasons(log) or error} (log: {log};"
            " is the Debian mirror reachable?)"
        ) from None


def mmdebstrap(packages: list[str], architecture: str) -> list[str]:
    """The builder's command line, as far as it decides what comes out, up to its hooks."""
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
    if emulation.is_foreign(architecture):
        # Its own check looks for a registration under the name that Debian's package gives it.
        command += [f"--architectures={architecture}", "--skip=check/qemu", "--dpkgopt=force-unsafe-io"]
    elif HOOKS.is_dir():  # libeatmydata is preloaded, and the machine's is of the machine's architecture
        command.append(f"--hook-dir={HOOKS}")
    command += ["--aptopt=Acquire::Languages none", "--aptopt=APT::Install-Recommends false"]
    command += ["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]
    return [*command, "--dpkgopt=path-exclude=/usr/share/doc/*", f"--include={','.join(sorted(packages))}"]


def customization(unit: Path) -> Iterator[str]:
    """Shell lines that mmdebstrap runs on the finished root file system, whose path is `$1`."""
    yield f'install -m 644 "{unit}" "$1/etc/systemd/system/{CGROUPS_NAME}"'
    yield f'systemctl --root="$1" enable {CGROUPS_NAME}'
    yield f'systemctl --root="$1" mask {" ".join(QUIET_UNITS)}'
    for name in KEEP_STOPPED:
        unit_file = f"$1/lib/systemd/system/{name}.service"
        yield f'[ ! -e "{unit_file}" ] || systemctl --root="$1" disable {name}.service'
    # Each host gets an identity of its own when its disk is made.
    yield 'rm -f "$1"/etc/ssh/ssh_host_*; : > "$1/etc/machine-id"; rm -f "$1/var/lib/dbus/machine-id"'
    # An empty list of packages must not look fresh to whoever asks how old it is.
    yield 'rm -rf "$1"/var/lib/apt/lists/*; touch -d @0 "$1/var/lib/apt/lists"'


def sources(suite: str = SUITE) -> list[str]:
    """One-line apt sources of the hosts: this machine's own Debian mirrors where it has some."""
    main, security = MIRROR, SECURITY
    for uri, suites in machine_sources():
        if suite in suites:
            main = uri
        if f"{suite}-security" in suites:
            security = uri
    release = f"deb {main} {suite} main"
    if suite.endswith("-backports"):  # no release of its own
        return [release]
    return [release, f"deb {main} {suite}-updates main", f"deb {security} {suite}-security main"]


def machine_sources(root: Path = Path("/etc/apt")) -> Iterator[tuple[str, list[str]]]:
    """(URI, suites) of every apt source of this machine, in both of apt's formats."""
    for path in [root / "sources.list", *sorted((root / "sources.list.d").glob("*.list"))]:
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                found = re.match(r"deb\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)", line)
                if found:
                    yield found[1], [found[2]]
    for path in sorted((root / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            fields = dict(re.findall(r"^(URIs|Suites):\s*(.+)$", stanza, re.MULTILINE))
            for uri in fields.get("URIs", "").split():
                yield uri, fields.get("Suites", "").split()


def apt_options() -> list[str]:
    """How this machine's apt gets out: its proxy settings."""
    options = []
    for line in run(["apt-config", "dump", "Acquire"]).splitlines():
        if re.match(r"Acquire::https?::Proxy\b", line):
            options.append(line.rstrip(";"))
    return options


def reasons(log: Path, most: int = 4) -> str:
    """What mmdebstrap and apt name as errors in a log, the last ones; empty when there is no log."""
    if not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "; ".join([line for line in lines if line.startswith("E:") or "not found" in line][-most:])
