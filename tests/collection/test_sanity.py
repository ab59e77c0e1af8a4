"""What Ansible's own checks say of the collection as it is installed, and that they really look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collection import sanity
from tests.collection.installed import CHECKOUT, Installed, install

IGNORE = CHECKOUT / "tests" / "sanity"
LICENCE = "validate-modules:missing-gplv3-license"
BROKEN = """\
#!/usr/bin/python
from __future__ import annotations
DOCUMENTATION = "module: planted"
from ansible.module_utils.basic import AnsibleModule
def main():
    AnsibleModule(argument_spec={"password": {"type": "str"}})
"""


def test_ansible_test_finds_nothing(installed: Installed) -> None:
    verdict = sanity.run(installed)
    assert verdict.status == 0, "\n".join(verdict.errors) or verdict.output[-3000:]
    assert {"validate-modules", "pylint", "pep8", "import", "ansible-doc"} <= set(verdict.tests)
    assert "No tests applicable" not in verdict.output


@pytest.fixture
def broken(tmp_path: Path) -> Installed:
    """An installed collection with one more module, which is wrong in many ways."""
    collection = install(tmp_path)
    (collection.tree / "plugins" / "modules" / "planted.py").write_text(BROKEN, encoding="utf-8")
    return collection


def test_ansible_test_reads_the_modules_of_the_installed_collection(broken: Installed) -> None:
    verdict = sanity.run(broken, "--test", "validate-modules", "--test", "pep8")
    assert verdict.status != 0
    named = [line for line in verdict.errors if "plugins/modules/planted.py" in line]
    assert any("missing-examples" in line for line in named), verdict.output[-3000:]
    assert any("E302" in line for line in named), verdict.output[-3000:]
    assert not [line for line in verdict.errors if "plugins/modules/edge_node.py" in line]


def test_every_exception_has_its_reason_and_holds_for_every_release() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(IGNORE.glob("ignore-2.*.txt"))}
    assert len(texts) >= 2
    assert len(set(texts.values())) == 1, f"these differ: {', '.join(texts)}"
    lines = next(iter(texts.values())).splitlines()
    assert [line for line in lines if " # " not in line] == []
    kinds = ("callback", "inventory", "modules")
    documented = [path for kind in kinds for path in (CHECKOUT / "plugins" / kind).glob("*.py")]
    licences = {f"{path.relative_to(CHECKOUT)} {LICENCE}" for path in documented}
    assert {line.split(" # ")[0] for line in lines} == licences
