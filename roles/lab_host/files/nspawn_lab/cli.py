"""The command line: results as JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from nspawn_lab import control, daemons, emulation, network, rootfs, supervisor
from nspawn_lab.definition import Host, Lab
from nspawn_lab.shell import LabError


def main(arguments: list[str]) -> int:
    """Runs one command; 0 when it worked, 1 with one line on standard error when not."""
    options = _parser().parse_args(arguments)
    lab = Lab(Path(os.path.realpath(options.state)))
    try:
        if os.geteuid() != 0:
            raise LabError("a lab needs root: run this as root or with sudo")
        if options.command == "supervise":
            return supervisor.supervise(lab, options.host)
        if options.command == "rootfs":
            path, built = _root_file_system(options)
            print(json.dumps({"changed": built, "path": str(path)}))
            return 0
        if options.command == "exec":
            return control.enter(lab, _host(lab, options.host), _command(options.words))
        if options.command == "status":
            print(json.dumps(daemons.status(lab), indent=2))
            return 0
        if options.command == "ssh":
            _ssh(lab, _host(lab, options.host), _command(options.words))
        if getattr(options, "check", False):
            changed = _would_change(lab, options)
        else:
            with control.locked(lab):
                changed = _change(lab, options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    subnet, hosts = lab.load()
    nodes = {name: host.address for name, host in hosts.items()}
    print(json.dumps({"changed": changed, "subnet": subnet, "hosts": nodes}))
    return 0


def _change(lab: Lab, options: argparse.Namespace) -> bool:
    """Runs a command that changes the lab; whether it did."""
    if options.command == "up":
        names = options.hosts.split(",")
        return control.up(lab, names, root_file_systems(names, options.rootfs))
    if options.command == "down":
        return control.down(lab)
    host = _host(lab, options.host)
    if options.command == "start":
        started = control.start(lab, host)
        control.wait_for_ssh(lab, host)
        return started
    if options.command == "stop":
        return control.stop(lab, host)
    if options.command == "kill":
        return control.power_off(lab, host)
    network.switch_link(host, up=options.direction == "up")
    return True


def _would_change(lab: Lab, options: argparse.Namespace) -> bool:
    """Whether a command with `--check` would change the lab; nothing does."""
    if options.command == "down":
        return control.is_there(lab)
    names = options.hosts.split(",")
    return control.lacks_any(lab, names, root_file_systems(names, options.rootfs))


def _root_file_system(options: argparse.Namespace) -> tuple[Path, bool]:
    """The path of a root file system, and whether it was built, or with `--check` would be."""
    cache, packages = Path(os.path.realpath(options.cache)), options.packages.split(",")
    if options.check:
        path = cache / "rootfs" / rootfs.key(packages, options.suite, options.architecture)
        return path, not path.is_dir()
    return rootfs.build(cache, packages, options.suite, options.architecture)


def root_file_systems(names: list[str], words: list[str]) -> dict[str, Path]:
    """Each host's root file system: a word is `PATH`, for all, or `NAME=PATH`, for one."""
    chosen = {name: path for name, _, path in (word.rpartition("=") for word in words)}
    lacking = [name for name in names if name not in chosen and "" not in chosen]
    if lacking:
        raise LabError(f"--rootfs names none for {', '.join(lacking)}")
    return {name: Path(os.path.realpath(chosen.get(name, chosen.get("", "")))) for name in names}


def _host(lab: Lab, name: str) -> Host:
    _, hosts = lab.load()
    if name not in hosts:
        known = ", ".join(hosts) or "none; `make up` starts it"
        raise LabError(f"this lab has no host {name} (it has {known})")
    return hosts[name]


def _command(words: list[str]) -> list[str]:
    """What to run, without the `--` that may stand before it."""
    return words[1:] if words[:1] == ["--"] else words


def _ssh(lab: Lab, host: Host, words: list[str]) -> None:
    os.execvp("ssh", ["ssh", "-F", str(lab.key.parent / "config"), host.name, *words])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="Hosts of a lab on this machine.")
    parser.add_argument(
        "--state", default=".lab", help="folder of all state of the lab (default: %(default)s)"
    )
    check = argparse.ArgumentParser(add_help=False)
    check.add_argument("--check", action="store_true", help="only tell whether anything would change")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "rootfs", parents=[check], help="build the root file system of the hosts, unless it is cached"
    )
    command.add_argument("--cache", default=".cache")
    command.add_argument("--packages", required=True, help="Debian packages, separated by commas")
    command.add_argument("--suite", default=rootfs.SUITE, help="Debian's release (default: %(default)s)")
    command.add_argument(
        "--architecture",
        default=emulation.native(),
        help="Debian's name of it; another one than the machine's is emulated (default: %(default)s)",
    )
    command = commands.add_parser("up", parents=[check], help="boot the hosts that are not running")
    command.add_argument("--hosts", required=True, help="names, separated by commas")
    command.add_argument(
        "--rootfs",
        required=True,
        action="append",
        metavar="[HOST=]PATH",
        help="what the hosts are overlays on; may be repeated for hosts that have another one",
    )
    commands.add_parser("status", help="hosts and their services, with resident memory")
    commands.add_parser("down", parents=[check], help="remove the lab and all it left behind")
    for name, text in {
        "start": "power a host on",
        "stop": "shut a host down",
        "kill": "take a host's power; its disk stays",
        "supervise": argparse.SUPPRESS,
    }.items():
        commands.add_parser(name, help=text).add_argument("host")
    command = commands.add_parser("link", help="pull a host's plug (down) or put it back (up)")
    command.add_argument("host")
    command.add_argument("direction", choices=["up", "down"])
    for name, text in {
        "exec": "run a program inside a host, without its network",
        "ssh": "open a shell on a host, or run a command there",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("host")
        command.add_argument("words", nargs=argparse.REMAINDER)
    return parser
