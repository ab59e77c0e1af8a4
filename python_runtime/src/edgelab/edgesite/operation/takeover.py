"""`edgesite promote --now`: the box that follows serves in the place of the site, by the units of systemd.

One command, because every second counts then, and a step that is forgotten is found when it is too late.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.operation import copies, datadir, restore

FOLLOWER, SERVER = "edgesite-follow.service", "edgesite.service"
SECONDS = 60.0


class TakenOver(NamedTuple):
    """`revision` is where versions go on, None when this box had a site already; `followed` is what the
    follower said last.
    """

    changed: bool
    revision: int | None
    followed: str


def take_over(data_dir: Path) -> TakenOver:
    """Stop following, make the copy a site, serve it now and at boot; gives back when it is ready. A box
    that has a site already serves it. Raises Fatal.
    """
    followed = _systemctl("show", "--property=StatusText", "--value", FOLLOWER)
    revision = None
    if copies.is_copy(data_dir / datadir.DATABASE):
        _systemctl("disable", "--now", FOLLOWER)
        revision = restore.promote(data_dir)
    elif not (data_dir / datadir.DATABASE).exists():
        raise Fatal(f"{data_dir} holds no copy of a site; `edgesite follow` makes one")
    served = _systemctl("show", "--property=ActiveState", "--value", SERVER) == "active"
    _systemctl("enable", "--now", SERVER)
    return TakenOver(revision is not None or not served, revision, followed)


def _systemctl(*words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - words of this module
            ["systemctl", *words],  # noqa: S607 - the one on the path
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Fatal(f"systemctl {' '.join(words)}: {error}") from error
    if done.returncode:
        why = done.stderr.strip() or f"status {done.returncode}"
        raise Fatal(f"systemctl {' '.join(words)}: {why}")
    return done.stdout.strip()
