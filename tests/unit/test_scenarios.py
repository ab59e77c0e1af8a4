"""Each role is tried on hosts: a scenario of its name, in the whole sequence, with tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
MOLECULE = CHECKOUT / "molecule"
ROLES = {path.name for path in (CHECKOUT / "roles").iterdir() if path.is_dir()}
SCENARIOS = sorted(path.parent for path in MOLECULE.glob("*/molecule.yml"))
OF_SEVERAL_ROLES = {
    "airgap",
    "arm64_board",
    "cloudcore_deployment",
    "edgesite_box",
    "edgesite_standby",
    "keadm",
}
"""Scenarios that try how roles work together, and carry the name of none."""
ALWAYS = ("syntax", "converge", "idempotence", "check", "verify")
"""Steps of every scenario; one that lacks a step says why, with the step's name in backticks."""


def sequence(folder: Path) -> list[str]:
    """The steps of `molecule test` for a scenario: its own, or those that all share."""
    shared = yaml.safe_load((CHECKOUT / ".config" / "molecule" / "config.yml").read_text(encoding="utf-8"))
    own = yaml.safe_load((folder / "molecule.yml").read_text(encoding="utf-8"))
    steps: list[str] = (own.get("scenario") or shared["scenario"])["test_sequence"]
    # Some steps name a playbook or a folder of tests: `verify tests/upgrade`.
    return [step.split()[0] for step in steps]


def comments(folder: Path) -> str:
    """What a scenario's configuration says in words."""
    text = (folder / "molecule.yml").read_text(encoding="utf-8")
    return " ".join(re.findall(r"^\s*# (.+)$", text, re.MULTILINE))


def roles_named_in(path: Path) -> set[str]:
    """Roles that a playbook of a scenario runs, by `roles`, `import_role` or `include_role`."""
    return set(
        re.findall(
            r"\b(?:role|name): edgelab\.kubeedge\.(\w+)$", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    )


@pytest.fixture(params=SCENARIOS, ids=lambda folder: folder.name)
def scenario(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_every_role_has_a_scenario_of_its_name() -> None:
    assert ROLES - {folder.name for folder in SCENARIOS} == set()


def test_every_scenario_is_that_of_a_role() -> None:
    assert {folder.name for folder in SCENARIOS} - ROLES == OF_SEVERAL_ROLES


def test_a_scenario_has_tests_that_assert_something(scenario: Path) -> None:
    files = sorted((scenario / "tests").rglob("test_*.py"))
    tests = [
        node
        for file in files
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert tests, f"{scenario.name} verifies nothing"
    skipped = [file.name for file in files if re.search(r"skip|xfail", file.read_text(encoding="utf-8"))]
    assert skipped == []
    assert not any(isinstance(node, ast.Pass) for test in tests for node in test.body)


def test_a_scenario_names_roles_that_exist_and_runs_its_own(scenario: Path) -> None:
    named: dict[str, set[str]] = {path.name: roles_named_in(path) for path in scenario.glob("*.yml")}
    assert {role for roles in named.values() for role in roles} - ROLES == set()
    if scenario.name in ROLES:
        played = {name for name in named if name != "molecule.yml"}
        assert scenario.name in set().union(*(named[name] for name in played))


def test_a_scenario_runs_twice_and_in_check_mode_unless_it_says_why_not(scenario: Path) -> None:
    steps = sequence(scenario)
    lacking = [step for step in ALWAYS if step not in steps]
    assert [step for step in lacking if f"`{step}`" not in comments(scenario)] == []
    after = steps[steps.index("converge") :]
    assert [step for step in ALWAYS if step in steps and step not in {"syntax", *after}] == []
    assert (steps[0], steps[-1]) == ("destroy", "destroy")


def test_the_quick_list_names_scenarios() -> None:
    lines = (CHECKOUT / "scripts" / "molecule-quick.txt").read_text(encoding="utf-8").splitlines()
    quick = [line for line in lines if line and not line.startswith("#")]
    assert quick
    assert set(quick) - {folder.name for folder in SCENARIOS} == set()
    assert len(quick) == len(set(quick))
