"""The progress callback: what happened where, failures that come back at the end, no secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.progress import (
    Failure,
    Task,
    failure_lines,
    hosts_in_words,
    message_of,
    slowest,
    task_line,
)

CHECKOUT = Path(__file__).parents[2]
PLAY = """
- name: Try everything
  hosts: all
  gather_facts: false
  tasks:
    - name: Say where we are
      ansible.builtin.debug:
        msg: "this is {{ inventory_hostname }}"
    - name: Change the file
      ansible.builtin.copy:
        content: "new\\n"
        dest: "{{ folder }}/{{ inventory_hostname }}"
        mode: "0644"
      notify: Look at it
    - name: Be left out
      ansible.builtin.debug:
        msg: never
      when: false
    - name: Go wrong and be rescued
      block:
        - name: Go wrong
          ansible.builtin.fail:
            msg: this was expected
      rescue:
        - name: Go on
          ansible.builtin.debug:
            msg: rescued
    - name: Fail with a secret
      ansible.builtin.fail:
        msg: hunter2
      no_log: true
      when: inventory_hostname == 'c'
    - name: Check a list
      ansible.builtin.assert:
        that: item == 'good'
        fail_msg: ["{{ item }} is not good", use good]
      loop: [good, bad]
      when: inventory_hostname == 'b'
  handlers:
    - name: Look at it
      ansible.builtin.command:
        argv: [cat, "{{ folder }}/{{ inventory_hostname }}"]
      changed_when: false
"""


def task(name: str = "Do it", seconds: float = 1.5, **outcomes: str) -> Task:
    return Task(name, started=10.0, ended=10.0 + seconds, outcomes=outcomes)


def test_a_line_has_the_time_since_the_start_the_tasks_own_and_hosts_by_outcome() -> None:
    line = task_line(task(a="ok", b="changed", c="failed"), since=2.0, all_hosts=3)
    assert line == "    9.5 s    1.5 s  Do it  [failed: c; changed: b; ok: a]"


def test_when_every_host_is_ok_no_host_is_named() -> None:
    assert (task_line(task(a="ok", b="ok"), 0, 2) or "").endswith("[ok]")
    assert (task_line(task(a="ok", b="skipped"), 0, 2) or "").endswith("[ok: a]")


def test_a_task_that_was_skipped_everywhere_leaves_no_line() -> None:
    assert task_line(task(a="skipped"), 0, 1) is None
    assert task_line(task(), 0, 1) is None


def test_of_two_outcomes_on_a_host_the_worse_counts() -> None:
    one = task()
    for outcome in ("ok", "changed", "ok", "skipped"):
        one.settle("a", outcome)
    assert one.outcomes == {"a": "changed"}


def test_many_hosts_are_counted_rather_than_listed() -> None:
    assert hosts_in_words(["a", "b"]) == "a, b"
    assert hosts_in_words([f"edge{n}" for n in range(20)]) == "edge0, edge1, edge2 and 17 more"


def test_only_notable_tasks_are_among_the_slowest_and_the_slowest_comes_first() -> None:
    lines = slowest([task("quick", 0.4), task("slow", 3), task("slower", 5)])
    assert [line.split()[-1] for line in lines] == ["slower", "slow"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"msg": "no"}, "no"),
        ({"msg": ["one", "two"]}, "one\ntwo"),
        (
            {"msg": "One or more items failed", "results": [{"failed": True, "msg": "it"}, {"msg": "fine"}]},
            "it",
        ),
        ({"censored": "hidden"}, "hidden"),
        ({}, "it failed and said nothing"),
    ],
)
def test_the_message_of_a_failure(answer: dict[str, object], text: str) -> None:
    assert message_of(answer) == text


def test_hosts_that_failed_alike_are_told_together() -> None:
    lines = failure_lines([Failure("b", "Join", "no token"), Failure("a", "Join", "no token")])
    assert lines == ["a, b: Join", "    no token"]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a real run on three hosts writes into a pipe."""
    folder = tmp_path_factory.mktemp("progress")
    (folder / "play.yml").write_text(PLAY, encoding="utf-8")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "a,b,c,", "-c", "local", "--diff"]
    command += ["-e", f"folder={folder}", "-e", f"ansible_python_interpreter={sys.executable}"]
    done = subprocess.run(
        [*command, str(folder / "play.yml")],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "edgelab.kubeedge.progress"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "\033[K" not in done.stdout
    return done.stdout


def lines_with(output: str, text: str) -> list[str]:
    return [line for line in output.splitlines() if text in line]


def test_a_run_names_tasks_hosts_and_what_changed(output: str) -> None:
    assert lines_with(output, "Try everything  [a, b, c]")
    assert lines_with(output, "a: this is a")
    assert lines_with(output, "Change the file  [changed: a, b, c]")
    assert lines_with(output, "+new")
    assert not lines_with(output, "Be left out")


def test_a_run_ends_with_ansibles_counts_and_the_failures_that_matter(output: str) -> None:
    end = output[output.index("PLAY RECAP") :]
    assert lines_with(end, "b : ok=3 changed=1 unreachable=0 failed=1")
    assert lines_with(end, "b: Check a list")
    assert lines_with(end, "bad is not good")
    assert lines_with(end, "use good")
    assert not lines_with(end, "this was expected")


def test_a_secret_is_not_shown(output: str) -> None:
    assert lines_with(output, "Fail with a secret")
    assert "hunter2" not in output
