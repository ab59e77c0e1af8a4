"""What tests of several scenarios need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import testinfra


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """kubectl of this machine with the administrator's kubeconfig of host cloud."""
    inventory = str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)
    cloud = testinfra.get_host("ansible://cloud", ansible_inventory=inventory)
    config = tmp_path_factory.mktemp("kube") / "config"
    config.write_text(cloud.file("/etc/edgelab/admin.kubeconfig").content_string, encoding="utf-8")
    config.chmod(0o600)
    program = Path(sys.executable).with_name("kubectl")

    def run(*argv: str, stdin: str | None = None) -> str:
        command = [str(program), f"--kubeconfig={config}", *argv]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
