"""Running programs of the machine, and the one error that a person sees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence


class LabError(Exception):
    """A step that did not work: one line with the cause and what to do."""


def say(text: str) -> None:
    """A line of progress, on standard error: standard output carries results."""
    print(text, file=sys.stderr, flush=True)


def run(command: Sequence[str], *, text: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Runs `command` and returns its standard output.

    Raises:
        LabError: it is not installed, or it ended with a status other than 0.
    """
    try:
        done = subprocess.run(command, input=text, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError(
            f"{command[0]} is not installed on this machine; scripts/bootstrap installs it"
        ) from None
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(
            f"`{' '.join(command)}` failed: {reason[-1] if reason else f'status {done.returncode}'}"
        )
    return done.stdout


def succeeds(command: Sequence[str]) -> bool:
    """Whether `command` ends with status 0; what it prints is dropped."""
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0
