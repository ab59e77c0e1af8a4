"""`keadm ctl` on a node whose cloud is gone: pods, logs, commands and restarts."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable

import pytest
from tests.component.metaserver.lab import BIN
from tests.component.streams.lab import StreamLab, StreamNode, sleeper

TALKING = 'echo "one"; echo "two" >&2; sleep 3600'


def run(node: StreamNode, *words: str) -> subprocess.CompletedProcess[str]:
    at = next((number for number, word in enumerate(words) if word == "--"), len(words))
    command = [BIN / "keadm", "ctl", *words[:at], "--config", node.config, *words[at:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def ctl(node: StreamNode, *words: str, fails: bool = False) -> str:
    """What it prints; it has to succeed, or with `fails` to fail."""
    done = run(node, *words)
    assert (done.returncode != 0) is fails, (done.stdout, done.stderr)
    return done.stderr if fails else done.stdout


def until(check: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def alone(lab: StreamLab, node: StreamNode) -> StreamNode:
    """The node with pod `talking`, and without its cloud."""
    asyncio.run(lab.apply(sleeper("talking", TALKING)))
    assert "talking" in ctl(node, "get", "pod")
    lab.cloud.stop()
    return node


def test_pods_are_listed_and_described(alone: StreamNode) -> None:
    listed = ctl(alone, "get", "pod").splitlines()
    assert listed[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert listed[1].split()[:4] == ["talking", "1/1", "Running", "0"]
    [pod] = json.loads(ctl(alone, "get", "pod", "talking", "-o", "json"))["items"]
    assert pod["spec"]["nodeName"] == "edge1"
    assert "nodeName: edge1" in ctl(alone, "describe", "pod", "talking")
    assert 'pods "none" not found' in ctl(alone, "get", "pod", "none", fails=True)


def test_logs_are_read(alone: StreamNode) -> None:
    assert sorted(ctl(alone, "logs", "talking").splitlines()) == ["one", "two"]
    assert len(ctl(alone, "logs", "talking", "--tail", "1").splitlines()) == 1
    assert "has no containers on this node" in ctl(alone, "logs", "none", fails=True)
    wrong = ctl(alone, "logs", "talking", "-c", "side", fails=True)
    assert "there is no container 'side'; -c names one of main" in wrong
    assert "no container before this one" in ctl(alone, "logs", "talking", "-p", fails=True)


def test_a_command_runs_and_its_status_is_ours(alone: StreamNode) -> None:
    assert ctl(alone, "exec", "talking", "--", "echo", "hi") == "hi\n"
    done = run(alone, "exec", "talking", "--", "sh", "-c", "echo oops >&2; exit 3")
    assert (done.returncode, done.stderr) == (3, "oops\n")


def test_a_pod_is_restarted(alone: StreamNode) -> None:
    assert 'the pod "default/talking" restart successful' in ctl(alone, "restart", "pod", "talking")
    until(lambda: sorted(run(alone, "logs", "talking", "-p").stdout.splitlines()) == ["one", "two"])
    assert "not found pod" in ctl(alone, "restart", "pod", "none", fails=True)


def test_what_waits_for_nothing_says_so(alone: StreamNode) -> None:
    assert "no valid upgrade tasks" in ctl(alone, "confirm", fails=True)
    assert "is not held on this node" in ctl(alone, "unhold-upgrade", "pod", "talking", fails=True)
