"""The collection as users get it: built, installed somewhere else, and used from there.

Covers that nothing a role needs is left out of the archive and that nothing of a checkout gets in.
Excludes running the playbook, which the lab's tests do.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.collection.installed import CHECKOUT, Installed

SHIPPED = ("roles/", "plugins/", "playbooks/", "meta/", "python_runtime/src/", "python_runtime/locks/")
NEVER_SHIPPED = (
    ".venv",
    ".lab",
    ".cache",
    ".git",
    "tests/collection",
    "tests/integration",
    "tests/unit",
    "scripts",
    "molecule",
    "__pycache__",
    "collections/ansible_collections",
)


def tracked() -> set[str]:
    """Files that git knows."""
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def test_the_archive_holds_everything_that_roles_and_playbooks_use(installed: Installed) -> None:
    with tarfile.open(installed.archive) as archive:
        names = set(archive.getnames())
    wanted = {name for name in tracked() if name.startswith(SHIPPED) and (CHECKOUT / name).exists()}
    assert sorted(wanted - names) == []
    assert {"README.md", "LICENSE", "galaxy.yml", "MANIFEST.json"} - names <= {"galaxy.yml"}


def test_the_archive_holds_nothing_of_a_checkout(installed: Installed) -> None:
    with tarfile.open(installed.archive) as archive:
        names = archive.getnames()
    strange = [n for n in names if any(f"/{n}/".find(f"/{part}/") >= 0 for part in NEVER_SHIPPED)]
    assert strange == []
    assert [n for n in names if n.endswith((".pyc", ".tar.gz")) or ".egg-info" in n] == []


def test_the_playbook_is_found_by_its_name(installed: Installed) -> None:
    installed.run("ansible-playbook", "-i", "cloud,edge1,", "edgelab.kubeedge.site", "--syntax-check")


@pytest.mark.parametrize("module", sorted(p.stem for p in (CHECKOUT / "plugins" / "modules").glob("*.py")))
def test_every_module_is_documented(installed: Installed, module: str) -> None:
    name = f"edgelab.kubeedge.{module}"
    document = json.loads(installed.run("ansible-doc", "-t", "module", name, "--json"))[name]
    assert document["doc"]["short_description"]
    assert document["examples"]
    assert document["return"]
    assert {"check_mode", "diff_mode"} <= set(document["doc"]["attributes"])


def test_every_role_describes_its_variables(installed: Installed) -> None:
    roles = {path.name for path in (CHECKOUT / "roles").iterdir() if path.is_dir()}
    listed = json.loads(installed.run("ansible-doc", "-t", "role", "--list", "edgelab.kubeedge", "--json"))
    assert {name.removeprefix("edgelab.kubeedge.") for name in listed} == roles


def test_both_lists_of_dependencies_are_equal() -> None:
    required = load(CHECKOUT / "collections" / "requirements.yml")["collections"] or []
    declared = load(CHECKOUT / "galaxy.yml")["dependencies"]
    assert {entry["name"]: entry["version"] for entry in required} == declared


def test_the_link_farm_leads_back_to_the_checkout() -> None:
    farm = CHECKOUT / "collections" / "ansible_collections" / "edgelab" / "kubeedge"
    for link in farm.iterdir():
        assert link.is_symlink(), f"{link} must be a relative link; git needs core.symlinks=true"
        assert link.resolve() == CHECKOUT / link.name
