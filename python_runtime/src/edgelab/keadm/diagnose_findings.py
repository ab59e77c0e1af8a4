"""What `keadm diagnose` finds: one finding per check, or several with a subject each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgelab.keadm.report import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from edgelab.settings.document import Problem

OK, WARNING, FAILED, UNKNOWN = "ok", "warning", "failed", "unknown"
SERIOUS_DAYS, SOON_DAYS = 2, 14
"""A certificate that ends within so many days is a failure, or a warning."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `subject` is the file, node or pod that it is about; `fix` is empty when all is well."""

    code: str
    status: str
    found: str
    fix: str = ""
    subject: str = ""


def ok(code: str, found: str, subject: str = "") -> Finding:
    """All is well."""
    return Finding(code, OK, found, subject=subject)


def warning(code: str, found: str, fix: str, subject: str = "") -> Finding:
    """Something that can wait."""
    return Finding(code, WARNING, found, fix, subject)


def failed(code: str, found: str, fix: str, subject: str = "") -> Finding:
    """Something is wrong."""
    return Finding(code, FAILED, found, fix, subject)


def unknown(codes: Iterable[str], reason: str) -> list[Finding]:
    """Checks that could not be made."""
    return [Finding(code, UNKNOWN, reason) for code in codes]


def answer(findings: Iterable[Finding], settings: dict[str, Any]) -> Answer:
    """The answer of a command: for people only what is not well, with a line of figures."""
    listed = list(findings)
    lines = []
    for one in listed:
        if one.status != OK:
            about = f" [{one.subject}]" if one.subject else ""
            lines.append(f"{one.status:<8} {one.code}{about}: {one.found}")
            lines += [f"         fix: {one.fix}"] if one.fix else []
    counted = {
        status: sum(one.status == status for one in listed) for status in (FAILED, WARNING, UNKNOWN, OK)
    }
    lines.append(", ".join(f"{number} {status}" for status, number in counted.items()))
    data = {"checks": [asdict(one) for one in listed], "counts": counted, "settings": settings}
    return Answer(data, "\n".join(lines))


def configuration(prefix: str, program: Any, path: Path) -> tuple[list[Finding], Any]:
    """The two checks of a configuration file, and its settings (None when there are none)."""
    from edgelab.settings.document import ConfigError, load

    valid, strange = f"{prefix}-CONFIG", f"{prefix}-CONFIG-UNKNOWN"
    if not path.exists():
        return unknown((valid, strange), f"{path} is not there: nothing is configured yet"), None
    try:
        loaded = load(path, program.defaults(), program.migrate)
    except ConfigError as error:
        return [_invalid(valid, program.name, path, error.problems), *unknown((strange,), "not valid")], None
    problems = program.validate(loaded.settings)
    first = _invalid(valid, program.name, path, problems) if problems else ok(valid, f"{path} is valid")
    return [first, *_unknown_fields(strange, path, loaded.unknown)], loaded.settings


def _invalid(code: str, name: str, path: Path, problems: list[Problem]) -> Finding:
    said = "; ".join(map(str, problems))
    variable = f"{name}_settings"
    fix = f"correct {variable} and run site.yml --tags {name}, or edit {path}; `{name} --check-config {path}`"
    return failed(code, said, fix, str(path))


def _unknown_fields(code: str, path: Path, problems: list[Problem]) -> list[Finding]:
    if not problems:
        return [ok(code, "every field is known")]
    fix = f"correct its spelling or take it out of {path}; docs/reference/configuration.md lists the fields"
    return [failed(code, "the field has no effect: nobody knows it", fix, one.field) for one in problems]


def expiry(code: str, what: str, end: dt.datetime, now: dt.datetime, fix: str) -> Finding:
    """How long a certificate is still good."""
    days = (end - now) / dt.timedelta(days=1)
    if days < 0:
        return failed(code, f"{what} expired on {end:%Y-%m-%d %H:%M} UTC", fix, what)
    text = f"{what} is good until {end:%Y-%m-%d}, {days:.0f} days"
    if days < SERIOUS_DAYS:
        return failed(code, text, fix, what)
    return warning(code, text, fix, what) if days < SOON_DAYS else ok(code, text, what)
