"""An object in the user's editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from edgelab.keadm.report import Failure

EDITORS = ("KUBE_EDITOR", "EDITOR", "VISUAL")


def edited(obj: dict[str, Any]) -> dict[str, Any]:
    """The object as the user left it. Raises Failure, and keeps the file, when it is no object any more."""
    from edgelab.settings.document import ConfigError, dump, read_yaml

    command = next((os.environ[name] for name in EDITORS if os.environ.get(name)), "vi")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False, encoding="utf-8") as file:
        file.write(dump(obj))
    path = Path(file.name)
    try:
        done = subprocess.run([*shlex.split(command), str(path)], check=False)  # noqa: S603 - the user's own
    except OSError as error:
        raise Failure(f"{command}: {error.strerror or error}; $EDITOR names another editor") from None
    if done.returncode:
        raise Failure(f"{command} ended with status {done.returncode}; nothing was changed")
    try:
        after = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except ConfigError as error:
        raise Failure(f"{error}; nothing was changed, your text is in {path}") from None
    path.unlink()
    return after
