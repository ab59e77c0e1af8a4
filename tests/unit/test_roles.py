"""Each role says what it reads: defaults, argument specs and README name the same variables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted(path for path in (Path(__file__).parents[2] / "roles").iterdir() if path.is_dir())
SHARED = "edgelab_"
"""Prefix of variables that belong to no single role."""


def load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def options(role: Path) -> dict[str, dict[str, Any]]:
    entries = load(role / "meta" / "argument_specs.yml")["argument_specs"].values()
    return {name: spec for entry in entries for name, spec in entry["options"].items()}


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_every_default_is_specified_and_every_specified_default_is_the_real_one(role: Path) -> None:
    defaults, specs = load(role / "defaults" / "main.yml"), options(role)
    assert set(defaults) - set(specs) == set()
    stated = {name: spec["default"] for name, spec in specs.items() if "default" in spec}
    own = {name: value for name, value in stated.items() if not name.startswith(SHARED)}
    assert own == {name: defaults.get(name) for name in own}


def test_the_readme_names_every_variable_and_no_other(role: Path) -> None:
    text = (role / "README.md").read_text(encoding="utf-8")
    specified = {name for name in options(role) if not name.startswith(SHARED)}
    assert {name for name in specified if f"`{name}`" not in text} == set()
    named = set(re.findall(rf"`({role.name}_[a-z0-9_]+)`", text))
    results = {f"{role.name}_{what}" for what in ("facts", "result", "url")}
    assert named - specified - results == set()


def test_public_variables_begin_with_the_name_of_the_role(role: Path) -> None:
    foreign = [name for name in options(role) if not name.startswith((f"{role.name}_", SHARED))]
    assert foreign == []


def test_no_role_sleeps_shells_out_or_ignores_errors(role: Path) -> None:
    forbidden = re.compile(r"ansible\.builtin\.(shell|pause)|ignore_errors|^\s*shell:", re.MULTILINE)
    files = [*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml")]
    assert [file.name for file in files if forbidden.search(file.read_text(encoding="utf-8"))] == []


STAGES = {"preflight", "install", "configure", "service", "verify"}
WITHOUT_STAGES = {"doctor", "lab_host", "validate"}
"""Roles that prepare or check, and have nothing that could be run in part."""


def test_every_stage_can_be_run_by_itself(role: Path) -> None:
    tasks = yaml.safe_load((role / "tasks" / "main.yml").read_text(encoding="utf-8"))
    imports = {
        task["ansible.builtin.import_tasks"].removesuffix(".yml"): set(task.get("tags") or ())
        for task in tasks
        if "ansible.builtin.import_tasks" in task
    }
    assert imports or role.name in WITHOUT_STAGES
    for stage, tags in imports.items():
        if tags == {"always"}:
            continue
        assert {role.name, f"{role.name}_{stage}"} <= tags, stage
        if stage in STAGES:
            assert stage in tags
