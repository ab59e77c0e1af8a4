"""kubectl at pods of the edge: logs, exec with input and a terminal, attach, cp, top, port-forward."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab import Lab, fetch

POD = """
apiVersion: v1
kind: Pod
metadata: {name: access}
spec:
  nodeName: edge1
  terminationGracePeriodSeconds: 1
  containers:
  - name: talks
    image: edgelab.local/busybox:1.35
    command: [sh, -c, "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done"]
  - name: listens
    image: edgelab.local/busybox:1.35
    stdin: true
    command: [sh, -c, "while read line; do echo got $line; done"]
"""
EXEC = ("exec", "access", "-c", "talks")


@pytest.fixture(scope="module")
def pod(lab: Lab) -> Iterator[Lab]:
    """The lab with a pod that talks, listens, and has a shell."""
    with lab.objects(POD):
        yield lab


def kubectl(lab: Lab, *words: str) -> list[str]:
    """The words of a kubectl that is started, or wrapped."""
    return ["kubectl", f"--kubeconfig={lab.state / 'kubeconfig'}", *words]


def test_a_log_is_followed(pod: Lab) -> None:
    with pod.started(*kubectl(pod, "logs", "-f", "access", "-c", "talks")) as following:
        assert following.stdout is not None
        assert [following.stdout.readline() for _ in range(20)] == [f"line {n}\n" for n in range(1, 21)]


def test_a_command_has_input_and_its_status_is_kubectls(pod: Lab) -> None:
    command = kubectl(pod, "exec", "-i", *EXEC[1:], "--", "sh", "-c", "cat; echo oops >&2; exit 3")
    done = pod.run(*command, stdin="a\nb\n", check=False)
    assert (done.returncode, done.stdout) == (3, "a\nb\n")
    assert done.stderr == "oops\ncommand terminated with exit code 3\n"


def test_what_nodes_and_pods_use_is_shown_at_once(pod: Lab) -> None:
    """EdgeSite reads it through the tunnel; nothing has been asked before."""
    [node] = pod.kubectl("top", "node", "--no-headers").splitlines()
    name, cores, _, memory, _ = node.split()
    assert name == "edge1"
    assert int(cores.removesuffix("m")) > 0
    assert int(memory.removesuffix("Mi")) > 10
    [one] = pod.kubectl("top", "pod", "access", "--no-headers").splitlines()
    assert one.split()[0] == "access"
    containers = pod.kubectl("top", "pod", "access", "--containers", "--no-headers").splitlines()
    assert [line.split()[1] for line in containers] == ["listens", "talks"]


def test_a_shell_has_a_terminal(pod: Lab) -> None:
    command = kubectl(pod, "exec", "-it", *EXEC[1:], "--", "sh")
    done = pod.run(
        "script", "-qec", " ".join(command), "/dev/null", stdin="tty; stty -a\nexit 4\n", check=False
    )
    assert done.returncode == 4, done.stdout
    assert re.search(r"^/dev/pts/\d+", done.stdout, re.MULTILINE), done.stdout


def test_attach_reaches_the_process_that_runs(pod: Lab) -> None:
    with pod.started(*kubectl(pod, "attach", "-i", "access", "-c", "listens")) as attached:
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write("hello\n")
        attached.stdin.flush()
        assert any(line == "got hello\n" for line in attached.stdout)


def test_files_are_copied_both_ways(pod: Lab, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(bytes(range(256)) * 4096)
    pod.kubectl("cp", str(there), "access:/tmp/file", "-c", "talks")
    digest = hashlib.md5(there.read_bytes()).hexdigest()
    assert pod.kubectl(*EXEC, "--", "md5sum", "/tmp/file").split()[0] == digest
    pod.kubectl("cp", "access:/tmp/file", str(back), "-c", "talks")
    assert back.read_bytes() == there.read_bytes()


def test_a_port_is_forwarded(pod: Lab) -> None:
    with pod.started(*kubectl(pod, "port-forward", "deployment/nginx", ":80")) as forwarding:
        assert forwarding.stdout is not None
        said = forwarding.stdout.readline()
        found = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> 80\n", said)
        assert found, said
        for _ in range(3):
            assert "Welcome to nginx!" in fetch(f"http://127.0.0.1:{found[1]}/")
