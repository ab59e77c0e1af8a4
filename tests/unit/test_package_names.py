"""Each package that a role installs is in the archive of each release that the role supports, by that name.

The archive's part is data: a component for each name (data/package_components.json says from where and when),
so that the test knows releases that this machine does not run. What no source could confirm is listed apart.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"
ARCHIVE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "package_components.json").read_text(encoding="utf-8")
)
ELSEWHERE = {"grafana"}
"""In no release of Debian: it comes from a repository that the administrator adds."""
OWN_SOURCE = {"kubeadm"}
"""Roles whose packages come from a source that they set up themselves."""
COMPONENTS = {"bookworm": {"main"}, "trixie": {"main"}, "noble": {"main", "universe"}}
"""What a host of the release has in its package sources unless its administrator took it out."""
CODENAMES = {"Debian": {"12": "bookworm", "13": "trixie"}, "Ubuntu": {"24.04": "noble"}}
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def names_in(value: object, role: Path) -> set[str]:
    """The package names of an apt task's `name`: words, lists, or an expression over the role's defaults."""
    if isinstance(value, list):
        return {name for item in value for name in names_in(item, role)}
    text = str(value)
    if "{{" not in text:
        return {text}
    if role.name == "docker":  # the other edition comes from Docker's own source
        return set(load(role / "vars" / "main.yml")["_docker_packages"]["debian"])
    defaults = load(role / "defaults" / "main.yml")
    used = [defaults[word] for word in re.findall(r"\w+", text) if word in defaults]
    lists = [item for item in used if isinstance(item, list | str)]
    return set(re.findall(r"'([a-z0-9+.-]+)'", text)) | {
        name for item in lists for name in names_in(item, role)
    }


def installed() -> set[tuple[str, str]]:
    """(role, package) of every apt task of every role that has hosts of the cluster."""
    found = set()
    for file in sorted(ROLES.glob("*/tasks/*.yml")):
        role = file.parents[1]
        for task in yaml.safe_load(file.read_text(encoding="utf-8")) or []:
            name = (task.get("ansible.builtin.apt") or {}).get("name")
            if name is not None and role.name not in OWN_SOURCE and "absent" not in str(task):
                found |= {(role.name, package) for package in names_in(name, role)}
    return found


def plays_of(playbook: str) -> list[dict[str, Any]]:
    plays: list[dict[str, Any]] = yaml.safe_load(
        (ROLES.parent / f"playbooks/{playbook}.yml").read_text(encoding="utf-8")
    )
    return plays


def test_the_archive_of_every_supported_release_is_known() -> None:
    supported = load(ROLES / "validate" / "defaults" / "main.yml")["validate_distributions"]
    bounds = {name: {str(release) for release in ends.values()} for name, ends in supported.items()}
    assert {CODENAMES[name][release] for name, ends in bounds.items() for release in ends} == set(COMPONENTS)
    assert set(ARCHIVE["suites"]) == set(ARCHIVE["sources"]) == set(COMPONENTS)


@pytest.mark.parametrize("suite", COMPONENTS)
@pytest.mark.parametrize(("role", "package"), sorted(installed()))
def test_the_release_has_the_package(suite: str, role: str, package: str) -> None:
    assert PACKAGE.fullmatch(package), f"role {role} installs {package!r}, which is no name of a package"
    unconfirmed = ARCHIVE["unconfirmed"].get(suite, {})
    known = ARCHIVE["suites"][suite].get(package) in COMPONENTS[suite]
    assert package in ELSEWHERE or known != (package in unconfirmed)


def test_the_roles_were_read() -> None:
    assert {("containerd", "containerd"), ("host", "iproute2"), ("mosquitto", "mosquitto")} <= installed()


def test_a_bundle_holds_what_the_roles_of_the_site_install() -> None:
    plays = [play for name in ("cloud", "edge") for play in plays_of(name)]
    roles = {role["role"].rpartition(".")[2] for play in plays for role in play.get("roles", [])}
    (bundle,) = plays_of("bundle")
    bundled = bundle["vars"]["bundle_packages"] + bundle["vars"]["bundle_optional_packages"]
    assert {"edgecore", "timeseries"} <= roles
    assert {package for role, package in installed() if role in roles} - set(bundled) == set()


def test_nothing_is_listed_that_no_role_installs() -> None:
    packages = {package for _, package in installed()}
    assert {name for suite in ARCHIVE["suites"].values() for name in suite} - packages == set()
