# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Checks of names and values: what no role reads, and what no role can read."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.inventory_hosts import (
    MISSING,
    Host,
    Problems,
    Roles,
    command_line_names,
)
from jinja2 import Undefined, UndefinedError

SIMILAR = 0.86
"""Likeness (0 to 1) from which a name with an unknown prefix counts as a slip of the fingers."""
COMMON_WORDS = {"host"}
"""Roles whose prefix is a word that sites use for variables of their own."""
SHARED = "edgelab_"
"""Prefix of variables that playbooks read; these take what `-e name=value` gives, which is always text."""
RESULT = re.compile(r"_(done|facts|failure|result|url)$")
"""How names end that the roles themselves set while they run, where these are not private (`_`)."""
KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "list": "a list",
    "dict": "a dictionary",
}
TRUE = {"y", "yes", "on", "1", "true", "t", "1.0"}


def name_problems(hosts: list[Host], removed: Mapping[str, str], problems: Problems) -> None:
    """Variables that no role reads: misspelt ones, and those that were removed."""
    for host in hosts:
        roles = host.roles
        for name in sorted(str(name) for name in host.variables):
            if name in removed:
                problems.add(f"{name} was removed: {removed[name]}", host.name)
            elif name not in roles.specs and (advice := _advice(name, roles)):
                problems.add(f"{name}: no role reads this variable; {advice}", host.name)


def _advice(name: str, roles: Roles) -> str:
    """What to do about an unknown name; nothing when it is the site's own."""
    if name.startswith("_"):
        return ""
    ours = name.startswith(tuple(f"{role}_" for role in {"edgelab", *roles.names} - COMMON_WORDS))
    if ours and RESULT.search(name):
        return ""
    close = difflib.get_close_matches(name, roles.specs, n=1, cutoff=SIMILAR)
    if close:
        return f"did you mean {close[0]}?"
    return "each role's README lists its variables" if ours else ""


def value_problems(hosts: list[Host], switches: Mapping[str, Any], problems: Problems) -> None:
    """Values that the roles' argument specs do not allow; `switches` have a check of their own."""
    for host in hosts:
        for name, spec in host.roles.specs.items():
            if name in switches:
                continue
            value = host.set(name)
            if value is not MISSING and value is not None and (text := _wrong(name, spec, value)):
                problems.add(text, host.name)


def _wrong(name: str, spec: Mapping[str, Any], value: Any) -> str:
    kind = str(spec.get("type", "str"))
    told = "a value" if spec.get("no_log") else repr(value)
    rules = {key: rule for key, rule in spec.items() if key not in ("required", "default")}
    errors = ArgumentSpecValidator({name: rules}).validate({name: _settled(value)}).error_messages
    if errors and spec.get("choices"):
        return f"{name}: {told} is not offered; use {' or '.join(str(c) for c in spec['choices'])}"
    if errors and kind in KINDS and "elements" not in spec and "options" not in spec:
        return f"{name} is {told}, and must be {KINDS[kind]}"
    if errors:
        return f"{name}: {'its value is malformed' if spec.get('no_log') else errors[0]}"
    if kind in ("bool", "int") and isinstance(value, str) and not name.startswith(SHARED):
        right = json.dumps(value.lower() in TRUE if kind == "bool" else int(value))
        return (
            f"{name} is the text {told}, and must be {KINDS[kind]}: write {name}: {right} without quotes, "
            f"in an INI inventory {right.title()}, on the command line -e '{{\"{name}\": {right}}}'"
        )
    return ""


def _settled(value: Any) -> Any:
    """The value with all templates in it evaluated; as it is where that cannot be done yet.

    The validator copies what it gets; of what is to be evaluated later that is all the engine knows: seconds.
    """
    try:
        return _evaluated(value)
    except (AnsibleError, UndefinedError):
        return value


def _evaluated(value: Any) -> Any:
    if isinstance(value, Undefined):
        raise UndefinedError
    if isinstance(value, Mapping):
        return {key: _evaluated(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [_evaluated(one) for one in value]
    return value


def switch_problems(hosts: list[Host], switches: Mapping[str, list[str]], problems: Problems) -> None:
    """Values of the main switches that this version does not offer, though a spec may name them."""
    for host in hosts:
        for name, offered in switches.items():
            value = host.set(name)
            if value is not MISSING and str(value) not in offered:
                problems.add(f"{name}: {str(value)!r} is not offered; use {' or '.join(offered)}", host.name)


def command_line_problems(
    hosts: list[Host], formats: Mapping[str, Mapping[str, str]], problems: Problems
) -> None:
    """Variables that a play's own keywords read, before any host's variables are known.

    `formats` gives for each name a regular expression (`form`) and an example (`example`).
    """
    given = command_line_names()
    for host in hosts:
        for name, rule in formats.items():
            value = host.set(name)
            if value is MISSING:
                continue
            if not re.fullmatch(rule["form"], str(value)):
                problems.add(f"{name} is {str(value)!r}: write it like {rule['example']}", host.name)
            elif name not in given:
                problems.add(
                    f"{name} has no effect in an inventory: plays read it before they know their hosts; "
                    f"give it on the command line, -e {name}={value}",
                    host.name,
                )
