"""Doing a thing in steps: each looks whether it is done already, tells what it does, and can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgelab.keadm.report import Answer, Failure

Tell = Callable[[str], None]
DONE = "unchanged"


@dataclass(frozen=True, slots=True)
class Step:
    """`look` says what there is to do, or nothing when all is so already; `do` does it."""

    name: str
    look: Callable[[], str]
    do: Callable[[], None]


@dataclass(slots=True)
class Report:
    """What a run of steps did; `data` and `warnings` are for the answer."""

    dry_run: bool
    tell: Tell
    steps: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether a step had something to do."""
        return any(step["action"] != DONE for step in self.steps)

    def changed_by(self, *names: str) -> bool:
        """Whether one of these steps had something to do."""
        return any(step["action"] != DONE for step in self.steps if step["name"] in names)

    def warn(self, text: str) -> None:
        """Say at once what does not keep anybody from going on."""
        self.warnings.append(text)
        self.tell(f"warning: {text}")

    def run(self, steps: Sequence[Step]) -> None:
        """One after the other; with `dry_run` nothing is done. Raises Failure that names the step."""
        for step in steps:
            try:
                what = step.look()
                if what and not self.dry_run:
                    step.do()
            except Failure as failure:
                data = {**failure.data, "step": step.name, "steps": self.steps}
                raise Failure(f"{step.name}: {failure}", **data) from failure
            action = DONE if not what else "would do" if self.dry_run else "done"
            self.steps.append({"name": step.name, "action": action, "what": what})
            self.tell(
                f"{step.name}: {what or 'as it should be'}{' (dry run)' if action == 'would do' else ''}"
            )

    def answer(self, text: str, **data: Any) -> Answer:
        """The answer of the command: its last line, and everything for programs."""
        told = {"changed": self.changed, "dry_run": self.dry_run, "steps": self.steps}
        last = f"dry run: nothing was changed; {text}" if self.dry_run else text
        return Answer({**told, "warnings": self.warnings, **data}, last)


def needed(what: str, *, when: Callable[[], bool]) -> Callable[[], str]:
    """A `look` that finds `what` to do when the condition holds."""
    return lambda: what if when() else ""
