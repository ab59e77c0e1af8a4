# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""A run as people like to watch it: one line a task, what is slow, and every failure once more at the end."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: stdout
short_description: One line for each task, with its time and what changed where
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Writes a line when a task is done. It has the time since the run began, the time that the task took,
    and the hosts by outcome. Tasks that were skipped everywhere leave no line; a tilde marks handlers.
  - On a terminal the task that is running is shown while it runs. Into a file or a pipe only whole lines go.
  - Ends with Ansible's counts for each host, the slowest tasks, and once more what ended a host's run.
options:
  progress_slowest:
    description: Whether to name the slowest tasks at the end.
    type: bool
    default: true
    ini:
      - section: callback_progress
        key: slowest
    env:
      - name: EDGELAB_PROGRESS_SLOWEST
"""

EXAMPLES = r"""
# ansible.cfg
# [defaults]
# stdout_callback = edgelab.kubeedge.progress
"""

import sys
import time

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import progress

COLOURS = {
    "failed": C.COLOR_ERROR,
    "unreachable": C.COLOR_UNREACHABLE,
    "changed": C.COLOR_CHANGED,
    "ignored": C.COLOR_WARN,
    "ok": C.COLOR_OK,
}


def parts_of(result):
    """Host, task and answer of a result, by the names of ansible-core 2.19 or those before."""
    if hasattr(result, "result"):
        return result.host.get_name(), result.task, result.result
    return result._host.get_name(), result._task, result._result


class CallbackModule(CallbackBase):
    """Collects what happens to a task until the next one begins, then writes its line."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "edgelab.kubeedge.progress"

    def __init__(self, *args, clock=time.monotonic, terminal=None, **kwargs):
        super().__init__(*args, **kwargs)
        self._clock = clock
        self._terminal = sys.stdout.isatty() if terminal is None else terminal
        self._began = clock()
        self._hosts = 0
        self._task = None
        self._tasks = []
        self._failures = []

    def v2_playbook_on_play_start(self, play):
        """Names the play and its hosts."""
        self._finish()
        names = self._hosts_of(play)
        self._hosts = len(names)
        mode = " (check mode: nothing is changed)" if getattr(play, "check_mode", False) else ""
        where = f"  [{progress.hosts_in_words(names)}]" if names else ""
        self._display.display(f"\n{play.get_name().strip()}{where}{mode}", color=C.COLOR_HIGHLIGHT)

    def _hosts_of(self, play):
        manager = play.get_variable_manager()
        if manager is None:
            return []
        known = manager.get_vars(play=play, include_hostvars=False)
        return list(known.get("ansible_play_hosts_all") or known.get("ansible_play_hosts") or [])

    def v2_playbook_on_task_start(self, task, is_conditional):
        """The task before is done."""
        self._start(task, handler=False)

    def v2_playbook_on_handler_task_start(self, task):
        """The task before is done, and this one is a handler."""
        self._start(task, handler=True)

    def v2_playbook_on_cleanup_task_start(self, task):
        """The task before is done."""
        self._start(task, handler=False)

    def _start(self, task, *, handler):
        self._finish()
        self._task = progress.Task(task.get_name().strip(), self._clock(), handler)
        if self._terminal:
            # On one line, or what is written next could not take its place.
            room = max(10, self._display.columns - 22)
            self._display.display(f"{'...':>18}  {self._task.name[:room]}", newline=False, color=C.COLOR_SKIP)

    def _finish(self):
        """Writes the line of the task that was running."""
        task, self._task = self._task, None
        if task is None:
            return
        task.ended = self._clock()
        self._tasks.append(task)
        self._clear()
        line = progress.task_line(task, self._began, self._hosts)
        if line:
            worst = min(task.outcomes.values(), key=progress.ORDER.index)
            self._display.display(line, color=COLOURS.get(worst))

    def _clear(self):
        if self._terminal:
            self._display.display("\r\033[K", newline=False)

    def _settle(self, result, outcome):
        host, _task, answer = parts_of(result)
        if self._task is not None:
            self._task.settle(host, outcome)
        if answer.get("_ansible_verbose_always") and "msg" in answer and outcome == "ok":
            self._clear()
            self._display.display(f"{'':>18}  {host}: {progress.message_of(answer)}")

    def v2_runner_on_ok(self, result):
        """It worked, with or without a change."""
        answer = parts_of(result)[2]
        self._settle(result, "changed" if answer.get("changed") else "ok")

    def v2_runner_on_skipped(self, result):
        """It was not for this host."""
        self._settle(result, "skipped")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """It failed: said at once, and again at the end."""
        self._settle(result, "ignored" if ignore_errors else "failed")
        if not ignore_errors:
            self._fail(result)

    def v2_runner_on_unreachable(self, result):
        """The host did not answer: said at once, and again at the end."""
        self._settle(result, "unreachable")
        self._fail(result)

    def _fail(self, result):
        host, task, answer = parts_of(result)
        failure = progress.Failure(host, task.get_name().strip(), progress.message_of(answer))
        self._failures.append(failure)
        self._clear()
        self._display.display("\n".join(progress.failure_lines([failure])), color=C.COLOR_ERROR)

    def v2_on_file_diff(self, result):
        """Shows a diff, of each item of a loop too."""
        host, task, answer = parts_of(result)
        items = answer.get("results", [answer]) if task.loop else [answer]
        for item in items:
            text = self._get_diff(item["diff"]) if item.get("diff") and item.get("changed") else ""
            if text:
                self._clear()
                self._display.display(f"{host}: {task.get_name().strip()}\n{text}")

    def v2_playbook_on_no_hosts_matched(self):
        """The play has nobody to work on."""
        self._display.display("  no host matched", color=C.COLOR_SKIP)

    def v2_playbook_on_stats(self, stats):
        """The end: counts, slowest tasks, failures once more."""
        self._finish()
        self._display.display("\nPLAY RECAP", color=C.COLOR_HIGHLIGHT)
        hosts = sorted(stats.processed)
        width = max((len(host) for host in hosts), default=0)
        lost = set()
        for host in hosts:
            counts = stats.summarize(host)
            bad = counts["failures"] or counts["unreachable"]
            if bad:
                lost.add(host)
            colour = COLOURS["failed" if bad else "changed" if counts["changed"] else "ok"]
            self._display.display(progress.recap_line(host, counts, width), color=colour)
        self._report(lost)

    def _report(self, lost):
        """What took long, and what failed on hosts that were lost (not what a rescue dealt with)."""
        took_long = progress.slowest(self._tasks) if self.get_option("progress_slowest") else []
        if took_long:
            self._display.display("\nSLOWEST TASKS\n" + "\n".join(took_long))
        # The last one ended the host's run; a rescue dealt with those before, or ended in it.
        final = {failure.host: failure for failure in self._failures if failure.host in lost}
        failures = list(final.values())
        if failures:
            lines = "\n".join(progress.failure_lines(failures))
            self._display.display(f"\nWHAT FAILED\n{lines}", color=C.COLOR_ERROR)
        self._display.display(f"\nDone after {self._clock() - self._began:.0f} s.")
