"""The collection as an archive, installed into an empty folder away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Installed:
    """An installed collection and the folder it was installed from and into."""

    archive: Path
    path: Path
    environment: dict[str, str]

    def run(self, *argv: str) -> str:
        """Run an Ansible command outside the checkout, knowing only the installed collection."""
        done = subprocess.run(
            [BIN / argv[0], *argv[1:]],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def tree(self) -> Path:
        """The folder that holds galaxy's files of the collection."""
        return self.path / "ansible_collections" / "edgelab" / "kubeedge"


def install(folder: Path) -> Installed:
    """Build the checkout's collection and install it below `folder`."""
    # Without the checkout's ansible.cfg, or ansible-galaxy would find the link farm and do nothing.
    (folder / "ansible.cfg").write_text("[defaults]\n", encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "HOME": str(folder),
    }
    result = Installed(folder / "edgelab-kubeedge-1.0.0.tar.gz", folder, environment)
    result.run("ansible-galaxy", "collection", "build", str(CHECKOUT), "--output-path", str(folder))
    result.run("ansible-galaxy", "collection", "install", str(result.archive), "-p", str(folder), "--offline")
    return result
