"""The command line that cloudcore and edgecore share with their Go originals.

Flags: `--config F`, `--minconfig`, `--defaultconfig`, `--version`, `-v N`; ours: `--check-config F`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from edgelab import KUBEEDGE_VERSION, __version__
from edgelab.settings.document import ConfigError, Loaded, Migrate, Problem, dump, load

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Program(Generic[T]):
    """What the command line must know of one daemon."""

    name: str
    default_path: Path
    defaults: Callable[[], T]
    minimal: Callable[[], dict[str, Any]]
    validate: Callable[[T], list[Problem]]
    migrate: Migrate | None = None


def parser(program: Program[Any]) -> argparse.ArgumentParser:
    """The daemon's argument parser."""
    flags = argparse.ArgumentParser(prog=program.name, allow_abbrev=False)
    flags.add_argument("--config", type=Path, default=program.default_path, metavar="FILE")
    flags.add_argument("--minconfig", action="store_true", help="print a short configuration and exit")
    flags.add_argument("--defaultconfig", action="store_true", help="print every setting with its default")
    flags.add_argument("--check-config", type=Path, metavar="FILE", help="check a configuration and exit")
    flags.add_argument("--version", action="store_true")
    flags.add_argument("-v", type=int, default=0, metavar="LEVEL", help="log level; 4 and above is debug")
    return flags


def checked(program: Program[T], path: Path, *, strict: bool) -> Loaded[T]:
    """Load and validate. `strict` makes unknown fields an error. Raises ConfigError."""
    loaded = load(path, program.defaults(), program.migrate)
    problems = program.validate(loaded.settings)
    if strict:
        problems = loaded.unknown + problems
    if problems:
        raise ConfigError(str(path), problems)
    return loaded


def complain(program: Program[Any], error: ConfigError) -> None:
    """Tell on standard error why a configuration cannot be used."""
    for problem in error.problems:
        print(f"{program.name}: {error.source}: {problem}", file=sys.stderr)


def configured(program: Program[T], path: Path) -> T | None:
    """The settings to start with; None when they cannot be. Warnings and errors go to standard error."""
    try:
        loaded = checked(program, path, strict=False)
    except ConfigError as error:
        complain(program, error)
        return None
    for warning in loaded.unknown + loaded.outdated:
        print(f"{program.name}: {path}: warning: {warning}", file=sys.stderr)
    return loaded.settings


def handle(program: Program[T], arguments: argparse.Namespace) -> int | None:
    """Do what a printing or checking flag asks; the exit status, or None when the daemon is to start."""
    if arguments.version:
        print(f"{program.name} {KUBEEDGE_VERSION} (edgelab {__version__})")
        return 0
    if arguments.minconfig or arguments.defaultconfig:
        sys.stdout.write(dump(program.minimal() if arguments.minconfig else program.defaults()))
        return 0
    if arguments.check_config is None:
        return None
    try:
        loaded = checked(program, arguments.check_config, strict=True)
    except ConfigError as error:
        complain(program, error)
        return 1
    for warning in loaded.outdated:
        print(f"{program.name}: {arguments.check_config}: warning: {warning}", file=sys.stderr)
    print(f"{program.name}: {arguments.check_config}: ok")
    return 0
