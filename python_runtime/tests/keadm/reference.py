"""The generated part of docs/reference/keadm.md: every command and flag, out of the program itself.

`python -m tests.keadm.reference` in `python_runtime/` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from edgelab.keadm.__main__ import app

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "keadm.md"
BEGIN, END = "<!-- generated: python -m tests.keadm.reference -->\n", "<!-- end -->\n"


def commands(command: Any, name: str = "keadm") -> Iterator[tuple[str, Any]]:
    """All commands that can be called, by their words."""
    below = getattr(command, "commands", {})
    if not below or getattr(command, "invoke_without_command", False):
        yield name, command
    for word, one in below.items():
        if getattr(one, "hidden", False):
            continue
        yield from commands(one, f"{name} {word}")


def flags(command: Any) -> Iterator[tuple[str, Any]]:
    """A command's options and arguments: their names as typed, and what click knows of them."""
    for parameter in command.params:
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            yield str(parameter.name).upper(), parameter
        else:
            yield ", ".join([*parameter.opts, *parameter.secondary_opts]), parameter


def page() -> str:
    """The generated part."""
    parts = []
    for name, command in commands(typer.main.get_command(app)):
        told = " ".join((command.help or "").split("\n\n")[0].split())
        parts.append(f"### {name}\n\n{told}\n")
        rows = [
            f"| `{words}` | {default(parameter)} | {getattr(parameter, 'help', None) or _hidden(parameter)} |"
            for words, parameter in flags(command)
        ]
        if rows:
            parts.append("\n".join(["| flag | default | |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def default(parameter: Any) -> str:
    """The default as a reader would write it."""
    value = parameter.default
    if parameter.required:
        return "required"
    if value is None or value == "" or value is False or value == [] or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _hidden(parameter: Any) -> str:
    return "taken for older instructions" if getattr(parameter, "hidden", False) else ""


def main() -> None:
    """Write the page anew."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    PAGE.write_text(head + BEGIN + page() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
