"""`ansible-test sanity` on an installed collection, with nothing but the Python package index.

ansible-test keeps a virtual environment for each of its checks below its HOME, and fetches the script that
puts pip into them from a site of its own (`ansible_test/_util/target/setup/requirements.py`). It takes the
one that lies in its cache already, so one that uses Python's own ensurepip is put there. pip's environment
variables do not get through, so they are written into its configuration.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.collection.installed import BIN, CHECKOUT, Installed

HOME = CHECKOUT / ".cache" / "sanity"
NOT_ANSIBLE = ("python_runtime/", "roles/lab_host/files/", "vagrant/")
"""Packages of their own: ruff and mypy --strict check them (scripts/check)."""
BOOTSTRAP = """\
import subprocess
import sys

python = sys.executable
subprocess.run([python, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted], check=True)
"""


@dataclass(frozen=True)
class Verdict:
    """What ansible-test said."""

    status: int
    output: str

    @property
    def tests(self) -> list[str]:
        """Names of the checks that ran."""
        return re.findall(r'Running sanity test "([a-z0-9-]+)"', self.output)

    @property
    def errors(self) -> list[str]:
        """Lines that name a defect."""
        return [line for line in self.output.splitlines() if line.startswith(("ERROR", "FATAL"))]


def prepare() -> dict[str, str]:
    """The environment of ansible-test: a HOME in the cache, so that its environments are made once."""
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in _pip_versions():
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(BOOTSTRAP, encoding="utf-8")
    configuration = HOME / ".config" / "pip" / "pip.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.touch(mode=0o600)
    configuration.write_text("\n".join(["[global]", *_pip_settings(), ""]), encoding="utf-8")
    return {"HOME": str(HOME), "PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


def _pip_settings() -> list[str]:
    """pip's environment variables as lines of its configuration file."""
    found = {
        name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name[:4] == "PIP_"
    }
    return [
        f"{name} = {value}"
        for name, value in found.items()
        if name not in {"config-file", "require-virtualenv"}
    ]


def _pip_versions() -> set[str]:
    """Versions of pip that this ansible-test may ask for."""
    package = importlib.util.find_spec("ansible_test")
    places = package.submodule_search_locations if package else None
    assert places, "ansible-core brings ansible_test"
    source = Path(places[0]) / "_internal" / "python_requirements.py"
    return set(re.findall(r"'(\d+\.\d+(?:\.\d+)?)'", source.read_text(encoding="utf-8")))


def run(collection: Installed, *arguments: str) -> Verdict:
    """Run `ansible-test sanity` in the installed collection."""
    command = [str(BIN / "ansible-test"), "sanity", "--venv", "--requirements", "--color", "no"]
    command += ["--python", "{}.{}".format(*sys.version_info), *arguments]
    command += [word for path in NOT_ANSIBLE for word in ("--exclude", path)]
    environment = prepare() | {"ANSIBLE_CONFIG": collection.environment["ANSIBLE_CONFIG"]}
    done = subprocess.run(
        command,
        cwd=collection.tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    return Verdict(done.returncode, done.stdout + done.stderr)
