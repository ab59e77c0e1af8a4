# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""The hosts of an inventory as the checks see them: what is set, and what the roles fall back to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.utils.vars import load_extra_vars
from jinja2 import Undefined, UndefinedError

GROUPS = ("cloud", "edge")
MISSING: Any = object()
"""Stands for a variable that is not set, or whose value needs what is not known yet (facts)."""
NAMED_HOSTS = 4
"""So many hosts are named in a line; the others are counted."""


class Roles:
    """What the roles in a directory say of their variables."""

    def __init__(self, directory: str) -> None:
        root = Path(directory)
        self.names = {path.parent.parent.name for path in root.glob("*/meta/argument_specs.yml")}
        self.specs: dict[str, dict[str, Any]] = {}
        self.defaults: dict[str, Any] = {}
        for name in sorted(self.names):
            entries = _load(root / name / "meta" / "argument_specs.yml").get("argument_specs") or {}
            for entry in entries.values():
                self.specs.update(entry.get("options") or {})
            self.defaults.update(_load(root / name / "defaults" / "main.yml"))

    def default(self, name: str) -> Any:
        """A role's default, where it is a plain value and no template."""
        value = self.defaults.get(name, self.specs.get(name, {}).get("default", MISSING))
        return MISSING if isinstance(value, str) and "{{" in value else value


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


@dataclass(frozen=True)
class Host:
    """One host: its name, the groups of ours that it is in, and its variables."""

    name: str
    groups: frozenset[str]
    variables: Mapping[str, Any]
    roles: Roles

    def set(self, name: str) -> Any:
        """The value that the inventory or the command line gives; MISSING without one."""
        try:
            value = self.variables.get(name, MISSING)
        except (AnsibleError, UndefinedError):
            return MISSING
        return MISSING if isinstance(value, Undefined) else value

    def get(self, name: str) -> Any:
        """The value that the roles will see; MISSING where that cannot be told yet."""
        return self.set(name) if name in self.variables else self.roles.default(name)


def inventory_hosts(
    hostvars: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]], roles: Roles
) -> list[Host]:
    """The hosts of the groups cloud and edge, in the inventory's order."""
    names = dict.fromkeys(name for group in GROUPS for name in groups.get(group) or ())
    return [
        Host(name, frozenset(g for g in GROUPS if name in (groups.get(g) or ())), hostvars[name], roles)
        for name in names
    ]


@dataclass
class Problems:
    """Lines about hosts; what is wrong with several hosts in the same way is one line."""

    hosts: dict[str, list[str]] = field(default_factory=dict)

    def add(self, text: str, *hosts: str) -> None:
        """Note what is wrong, with `hosts` or (without any) with the inventory as a whole."""
        names = self.hosts.setdefault(text, [])
        names += [host for host in hosts if host not in names]

    def __iter__(self) -> Iterator[str]:
        for text, names in self.hosts.items():
            if not names:
                yield text
            elif len(names) == 1:
                yield f"host {names[0]}: {text}"
            else:
                more = f" and {len(names) - NAMED_HOSTS} more" if len(names) > NAMED_HOSTS else ""
                yield f"hosts {', '.join(names[:NAMED_HOSTS])}{more}: {text}"


def command_line_names() -> set[str]:
    """Names of the variables given with -e."""
    if not context.CLIARGS.get("extra_vars"):
        return set()
    return {str(name) for name in load_extra_vars(DataLoader())}
