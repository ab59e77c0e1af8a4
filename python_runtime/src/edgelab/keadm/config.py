"""`keadm config`: put settings into cloudcore.yaml or edgecore.yaml, and read files of older releases."""

from __future__ import annotations

import enum
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelab.keadm import images
from edgelab.keadm.report import Answer, Failure, Format, Output, report
from edgelab.keadm.steps import Step

app = typer.Typer(help="Read and change the configuration files of this host.", no_args_is_help=True)
app.add_typer(images.app, name="images")

MASK = "********"
SECRET_KEYS = frozenset({"token", "mqttpassword", "password", "bearertoken"})


class Component(enum.StrEnum):
    """Daemons that have a configuration file."""

    cloudcore = "cloudcore"
    edgecore = "edgecore"


@app.callback()
def config() -> None:
    """Read and change the configuration files of this host."""


@app.command()
def merge(
    component: Annotated[Component, typer.Option(help="whose configuration file it is")],
    file: Annotated[Path, typer.Option(help="the YAML file; created when it is missing")],
    check: Annotated[bool, typer.Option("--check", help="only tell what would change")] = False,
    output: Output = Format.text,
) -> None:
    """Merge settings, given as a JSON object on stdin, into a configuration file.

    Mappings merge, lists and values replace. A file that is missing starts as the minimal
    configuration. Comments are not kept. Nothing is written unless the result is valid.
    """
    report(output, lambda: merge_file(component, file, read_overrides(sys.stdin.read()), check=check))


@app.command()
def migrate(
    files: Annotated[list[Path], typer.Argument(help="the old files, or the directory that holds them")],
    to: Annotated[
        Path | None, typer.Option("--to", help="directory to write into; without it the result is printed")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-d", help="only tell what would be written")] = False,
    output: Output = Format.text,
) -> None:
    """Turn files of older releases into edgecore.yaml and cloudcore.yaml of today.

    Reads edge.yaml, controller.yaml, modules.yaml and logging.yaml (up to 1.2), and edgecore.yaml and
    cloudcore.yaml of any version. Tells of every key what became of it, and of those left out the reason.
    """
    from edgelab.keadm.migrating import migrate_files

    report(output, lambda: migrate_files(files, to, check=dry_run))


def read_overrides(text: str) -> dict[str, Any]:
    """The overrides on stdin. Raises Failure when they are no JSON object."""
    try:
        overrides = json.loads(text)
    except ValueError as error:
        raise Failure(f"stdin holds no JSON: {error}") from error
    if not isinstance(overrides, dict):
        raise Failure(f"stdin must hold a JSON object, not {type(overrides).__name__}")
    return overrides


def merge_file(component: Component, path: Path, overrides: dict[str, Any], *, check: bool) -> Answer:
    """Merge, validate, and write when something differs. Raises ConfigError with every problem found."""
    from edgelab.keadm.files import is_private, write_private
    from edgelab.settings.document import ConfigError, dump, parse, read_yaml
    from edgelab.settings.document import merge as merged

    program = load_program(component)
    before = read_yaml(path.read_text(encoding="utf-8"), str(path)) if path.exists() else None
    after = merged(program.minimal() if before is None else before, overrides)
    text = dump(after)
    loaded = parse(text, program.defaults(), source=str(path), migrate=program.migrate)
    problems = loaded.unknown + program.validate(loaded.settings)
    if problems:
        raise ConfigError(str(path), problems)
    changed = before != after or not is_private(path)
    if changed and not check:
        write_private(path, text)
    data: dict[str, Any] = {
        "changed": changed,
        "before": "" if before is None else dump(masked(before)),
        "after": dump(masked(after)),
        "problems": [],
    }
    return Answer(data, f"{path}: {'changed' if changed else 'unchanged'}")


def step(component: Component, path: Path, wanted: dict[str, Any]) -> Step:
    """The file: what is there stays, what is wanted goes on top. ConfigError names a field."""

    def look() -> str:
        return f"{path} is written" if merge_file(component, path, wanted, check=True).data["changed"] else ""

    def do() -> None:
        merge_file(component, path, wanted, check=False)

    return Step("configuration", look, do)


def load_program(component: Component) -> Any:
    """The `edgelab.settings.commandline.Program` of a daemon; only the one asked for is imported."""
    if component is Component.cloudcore:
        from edgelab.settings.cloudcore import PROGRAM as CLOUDCORE

        return CLOUDCORE
    from edgelab.settings.edgecore import PROGRAM as EDGECORE

    return EDGECORE


def masked(value: Any) -> Any:
    """A copy in which values of secret keys cannot be read."""
    if isinstance(value, dict):
        return {
            key: MASK if str(key).lower() in SECRET_KEYS and item else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value
