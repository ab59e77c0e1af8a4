"""N-1 -> N -> rollback on the lab, and a version that does not start: what upgrade.yml makes of it.

N-1 is an earlier commit of this repository, of the same layout of EdgeSite's store and with the daemons
and commands that the roles of today drive: versions before it refuse to start, or lack what they are asked,
and are rolled back. In a clone that does not have it, it is this commit's tree with another text in it, which
is another version all the same.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import REUSE
from tests.integration.lab import CHECKOUT, Lab

EARLIER = "91388ff360fb85b442e8f1be365f3bc71bc3bd4f"
MAIN = Path("python_runtime/src/edgelab/edgecore/__main__.py")


def tree(target: Path, commit: str) -> bool:
    """Lay the runtime's sources of a commit out below `target`; False when the clone lacks it."""
    archive = subprocess.run(
        ["git", "archive", commit, "python_runtime"], cwd=CHECKOUT, capture_output=True, check=False
    )
    if archive.returncode:
        return False
    target.mkdir()
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive.stdout, check=True)
    return True


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of N-1."""
    target = tmp_path_factory.mktemp("sources") / "earlier"
    if not tree(target, EARLIER):
        shutil.copytree(
            CHECKOUT / "python_runtime", target / "python_runtime", ignore=shutil.ignore_patterns(".*")
        )
        with (target / MAIN).open("a", encoding="utf-8") as file:
            file.write("\n# another version\n")
    return target / "python_runtime"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version whose EdgeCore ends as soon as it starts, although all of its modules can be imported."""
    target = tmp_path_factory.mktemp("sources") / "broken"
    assert tree(target, "HEAD")
    text = (target / MAIN).read_text(encoding="utf-8")
    end = '    configure_logging(options.v)\n    raise SystemExit("edgecore: this version does not start")\n'
    assert "    configure_logging(options.v)\n" in text
    (target / MAIN).write_text(text.replace("    configure_logging(options.v)\n", end), encoding="utf-8")
    return target / "python_runtime"


@pytest.fixture(scope="module", autouse=True)
def back_to_this_version(request: pytest.FixtureRequest, lab: Lab) -> Iterator[None]:
    """Other tests, and whoever keeps the lab, find it as they expect it."""
    yield
    if REUSE or request.session.items[-1].path != request.path:
        lab.play()


def play(lab: Lab, name: str, *extra: str, check: bool = True) -> str:
    """Run a playbook on the lab; what it printed."""
    command = ["ansible-playbook", "-i", "inventories/local", f"playbooks/{name}.yml", *extra]
    done = lab.run(*command, check=check, deadline=900)
    assert check or done.returncode, "the playbook should have failed"
    return done.stdout


def version(lab: Lab, host: str) -> str:
    return Path(lab.host(host, "readlink", "/opt/edgelab/current").strip()).name


def containers(lab: Lab) -> set[str]:
    lines = lab.host("edge1", "ctr", "-n", "k8s.io", "tasks", "list").splitlines()[1:]
    return {line.split()[0] for line in lines if "RUNNING" in line}


def test_up_and_back_without_touching_a_pod(lab: Lab, earlier: Path) -> None:
    running, new = containers(lab), version(lab, "edge1")
    play(lab, "upgrade", "-e", f"upgrade_source={earlier}")
    old = version(lab, "edge1")
    assert old != new
    play(lab, "upgrade")
    assert {version(lab, "cloud"), version(lab, "edge1")} == {new}
    play(lab, "rollback")
    assert {version(lab, "cloud"), version(lab, "edge1")} == {old}
    assert lab.node_ready("edge1")
    assert containers(lab) == running


def test_a_version_that_does_not_start_is_rolled_back_by_itself(lab: Lab, broken: Path) -> None:
    running, before = containers(lab), version(lab, "edge1")
    output = play(lab, "upgrade", "--limit", "localhost,edge1", "-e", f"upgrade_source={broken}", check=False)
    words = re.sub(r"\s+", " ", output)
    assert f"edge1 was rolled back to {before}" in words
    assert "this version does not start" in words
    assert version(lab, "edge1") == before
    assert lab.node_ready("edge1")
    assert containers(lab) == running
