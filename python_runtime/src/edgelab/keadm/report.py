"""How every subcommand answers: one JSON object or plain text on stdout, and one line when it fails."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from edgelab.daemon.errors import Fatal, Unreachable


class Format(enum.StrEnum):
    """Forms of output."""

    text = "text"
    json = "json"


Output = Annotated[Format, typer.Option("--output", "-o", help="text for people, json for programs")]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a subcommand found out or did: `data` for programs, `text` for people."""

    data: dict[str, Any]
    text: str


class Failure(Fatal):
    """A subcommand failed; `data` holds further keys for the JSON answer."""

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.data = data


def report(output: Format, work: Callable[[], Answer]) -> None:
    """Run `work`, print its answer; a known failure ends the program with status 1."""
    try:
        answer = work()
    except Exception as error:
        failure = _explain(error)
        if failure is None:
            raise
        _print_failure(output, failure)
        raise typer.Exit(1) from None
    text = json.dumps(answer.data, ensure_ascii=False) if output is Format.json else answer.text
    if text:
        print(text.rstrip("\n"))


def progress(output: Format) -> Callable[[str], None]:
    """Where lines of progress go: to people at once; programs find the steps in the answer."""
    if output is Format.json:
        return lambda _: None
    return lambda line: print(line, flush=True)


def _explain(error: Exception) -> Fatal | None:
    """The failure behind an error; None for a defect of ours."""
    from edgelab.daemon.main import find_fatal
    from edgelab.objects.status import ApiError
    from edgelab.settings.document import ConfigError

    if isinstance(error, ApiError):
        return Failure(f"the API server refused: {error.message}", code=error.code, reason=error.reason)
    if isinstance(error, ConfigError):
        problems = [{"field": p.field, "message": p.message} for p in error.problems]
        return Failure(str(error), problems=problems)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Failure(f"{where}{error.strerror or error}")
    if isinstance(error, Unreachable):
        return Failure(f"the API server cannot be reached: {error}", reason="Unreachable")
    return find_fatal(error)


def _print_failure(output: Format, failure: Fatal) -> None:
    line = " ".join(str(failure).split())
    if output is Format.json:
        data = failure.data if isinstance(failure, Failure) else {}
        print(json.dumps({"error": line, **data}, ensure_ascii=False))
    else:
        print(f"keadm: {line}", file=sys.stderr)
