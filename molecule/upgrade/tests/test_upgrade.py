"""An edge node on its way to another version and back, by hand and by itself, while a pod runs on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
EDGE_ONLY = ("--limit", "localhost,edge1")
MAIN = "edgecore/__main__.py"
STARTS = "    configure_logging(options.v)\n"
ENDS = f'{STARTS}    raise SystemExit("edgecore: this version does not start")\n'
Play = Callable[..., tuple[int, str]]
Sources = Callable[[str, str, str], Path]
Containers = Callable[[Host], set[str]]


@pytest.fixture(scope="module")
def newer(sources: Sources) -> Path:
    """Another version that works."""
    return sources(MAIN, STARTS, f"{STARTS}    # another version\n")


def version(host: Host) -> str:
    return Path(host.file("/opt/edgelab/current").linked_to).name


def backups(host: Host) -> list[str]:
    """The versions that backups of this host are of; each archive is for root only."""
    paths = host.check_output("find /var/backups/edgelab -name '*.tar.gz'").splitlines()
    assert {host.file(path).mode for path in paths} == {0o600}
    return [json.loads(host.check_output(f"tar -xzOf {path} manifest.json"))["version"] for path in paths]


def environment(host: Host) -> str:
    found: str = host.file("/etc/default/edgecore").content_string
    return found


def node_is_ready(kubectl: Callable[..., str]) -> bool:
    conditions = json.loads(kubectl("get", "node", "edge1", "-o", "json"))["status"]["conditions"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def test_what_was_there_is_backed_up(host: Host) -> None:
    assert version(host) in backups(host)


def test_check_mode_foretells_an_upgrade_and_does_nothing(host: Host, play: Play, newer: Path) -> None:
    before, archives = version(host), backups(host)
    status, text = play(
        PLAYBOOKS / "upgrade.yml", {"upgrade_source": str(newer)}, *EDGE_ONLY, "--check", "--diff"
    )
    assert status == 0, text
    assert "changed=0" not in text.rpartition("PLAY RECAP")[2].partition("localhost")[0]
    assert version(host) == before
    assert backups(host) == archives


@pytest.mark.usefixtures("probe")
def test_up_and_back_by_hand_without_touching_a_pod(
    host: Host, play: Play, newer: Path, kubectl: Callable[..., str], containers: Containers
) -> None:
    before, running = version(host), containers(host)
    assert running
    status, text = play(PLAYBOOKS / "upgrade.yml", {"upgrade_source": str(newer)}, *EDGE_ONLY)
    assert status == 0, text
    after = version(host)
    assert after != before
    assert f"EDGELAB_RUNTIME={after}" in environment(host)
    assert before in backups(host)
    assert node_is_ready(kubectl)
    assert containers(host) == running

    status, text = play(PLAYBOOKS / "rollback.yml", {}, *EDGE_ONLY)
    assert status == 0, text
    assert version(host) == before
    assert f"EDGELAB_RUNTIME={before}" in environment(host)
    assert node_is_ready(kubectl)
    assert containers(host) == running


@pytest.mark.usefixtures("probe")
def test_a_version_that_does_not_start_is_rolled_back_by_itself(
    host: Host,
    play: Play,
    sources: Sources,
    kubectl: Callable[..., str],
    containers: Containers,
) -> None:
    before, running = version(host), containers(host)
    broken = sources(MAIN, STARTS, ENDS)
    status, text = play(PLAYBOOKS / "upgrade.yml", {"upgrade_source": str(broken)}, *EDGE_ONLY)
    assert status != 0
    assert f"edge1 was rolled back to {before} and works again" in text
    assert "this version does not start" in text
    assert version(host) == before
    assert f"EDGELAB_RUNTIME={before}" in environment(host)
    assert host.service("edgecore").is_running
    assert node_is_ready(kubectl)
    assert containers(host) == running
