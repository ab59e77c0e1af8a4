"""All plugins: they parse on the oldest Python of a host, and modules document exactly what they accept."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule

from tests.unit.module_harness import CHECKOUT

PLUGINS = CHECKOUT / "plugins"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))
OLDEST_TARGET_PYTHON = (3, 9)
FRAGMENTS = PLUGINS / "doc_fragments"


class Captured(Exception):
    """Carries the arguments of AnsibleModule out of a module's main."""


def spec_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    def capture(_self: AnsibleModule, **arguments: Any) -> None:
        raise Captured(arguments)

    module = importlib.import_module(f"ansible_collections.edgelab.kubeedge.plugins.modules.{name}")
    monkeypatch.setattr(module.AnsibleModule, "__init__", capture)
    with pytest.raises(Captured) as caught:
        module.main()
    spec: dict[str, Any] = caught.value.args[0]
    return spec


def documented(name: str) -> dict[str, Any]:
    """The documentation with the options of its fragments."""
    module = importlib.import_module(f"ansible_collections.edgelab.kubeedge.plugins.modules.{name}")
    document: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)
    options = dict(document.get("options") or {})
    for fragment in document.get("extends_documentation_fragment") or []:
        if fragment.startswith("edgelab.kubeedge."):
            file, _, part = fragment.removeprefix("edgelab.kubeedge.").partition(".")
            holder = importlib.import_module(
                f"ansible_collections.edgelab.kubeedge.plugins.doc_fragments.{file}"
            )
            text = getattr(holder.ModuleDocFragment, part.upper() or "DOCUMENTATION")
            options |= yaml.safe_load(text).get("options") or {}
    return {**document, "options": options}


@pytest.mark.parametrize(
    "path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: str(path.relative_to(PLUGINS))
)
def test_plugins_parse_on_the_oldest_python_of_a_host(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=OLDEST_TARGET_PYTHON)


@pytest.mark.parametrize("name", MODULES)
def test_documentation_and_arguments_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, document = spec_of(name, monkeypatch), documented(name)
    assert spec.get("supports_check_mode") is True
    accepted = spec["argument_spec"]
    assert set(accepted) == set(document["options"])
    for option, rules in accepted.items():
        told = document["options"][option]
        assert told["description"], option
        for key in ("type", "default", "choices", "elements"):
            assert rules.get(key) == told.get(key), f"{option}: {key}"
        assert rules.get("required", False) == told.get("required", False), option


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_examples_and_says_what_it_returns(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.edgelab.kubeedge.plugins.modules.{name}")
    assert all(f"edgelab.kubeedge.{name}" in task for task in yaml.safe_load(module.EXAMPLES))
    assert all(entry["description"] and entry["type"] for entry in yaml.safe_load(module.RETURN).values())


def test_every_module_is_in_the_action_group() -> None:
    runtime = yaml.safe_load((CHECKOUT / "meta" / "runtime.yml").read_text())
    cluster = {name for name in MODULES if re.match(r"device|edge_|kube_|mqtt_", name)}
    assert cluster <= set(runtime["action_groups"]["kubeedge"])
