"""`python -m edgelab.edgecore.taskmanager.runner [--detached] RESULT PROGRAM ...`: it may restart EdgeCore.

It runs beside EdgeCore, and leaves how it ended in the file RESULT, all at once, for whichever EdgeCore
runs then: `{"status": 0, "output": "...", "errors": "..."}`. While it runs, `RESULT.runs` has its process
and the machine's boot: `{"process": 1, "boot": "..."}`. With `--detached` the caller's child ends at once
and the program is no child of the caller. Nothing of ours is imported but this file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

LONGEST = 65536
DETACHED = "--detached"
BOOT = Path("/proc/sys/kernel/random/boot_id")


def main(result: str, *command: str) -> int:
    """Run the command, write its result; the command's status."""
    runs = Path(f"{result}.runs")
    write(runs, {"process": os.getpid(), "boot": BOOT.read_text(encoding="ascii").strip()})
    status, output, errors = _run(command)
    write(Path(result), {"status": status, "output": output[-LONGEST:], "errors": errors[-LONGEST:]})
    runs.unlink(missing_ok=True)
    return status


def _run(command: tuple[str, ...]) -> tuple[int, str, str]:
    try:
        done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
    except OSError as error:
        return 127, "", f"{command[0]}: {error.strerror or error}"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def write(path: Path, answer: dict[str, int | str]) -> None:
    """A file, mode 0600, that is whole or not there."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(answer, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def detach() -> None:
    """Go on as an orphan, with nothing of the caller's open; the caller's own child ends here."""
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == [DETACHED]:
        detach()
        words = words[1:]
    sys.exit(main(*words))
