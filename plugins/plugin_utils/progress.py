"""What the progress callback writes, as text: lines of tasks, of hosts, and the report at the end."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

SHOWN_HOSTS = 4
"""Names of hosts on one line; of more hosts only their number is told."""
SLOWEST = 5
NOTABLE = 1.0
"""Seconds from which a task is worth a place among the slowest."""
ORDER = ("failed", "unreachable", "changed", "ignored", "ok", "skipped")


@dataclass
class Task:
    """A task and what became of it on each host; `started` and `ended` are seconds of one clock."""

    name: str
    started: float
    handler: bool = False
    ended: float = 0.0
    outcomes: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took, all hosts together."""
        return max(0.0, self.ended - self.started)

    def settle(self, host: str, outcome: str) -> None:
        """Remember the outcome on a host; of several the worst counts."""
        before = self.outcomes.get(host, "skipped")
        self.outcomes[host] = min(before, outcome, key=ORDER.index)


@dataclass(frozen=True)
class Failure:
    """One task that failed on one host."""

    host: str
    task: str
    message: str


def hosts_in_words(hosts: list[str]) -> str:
    """`a, b` or, when there are many, `a, b, c and 17 more`."""
    if len(hosts) <= SHOWN_HOSTS:
        return ", ".join(hosts)
    shown = SHOWN_HOSTS - 1
    return f"{', '.join(hosts[:shown])} and {len(hosts) - shown} more"


def task_line(task: Task, since: float, all_hosts: int) -> str | None:
    """The line of a finished task; None when it was skipped everywhere.

    `since` is when the play began, `all_hosts` how many hosts the play has.
    """
    by_outcome: dict[str, list[str]] = defaultdict(list)
    for host, outcome in task.outcomes.items():
        by_outcome[outcome].append(host)
    words = []
    for outcome in ORDER[:-1]:
        hosts = sorted(by_outcome.get(outcome, []))
        if not hosts:
            continue
        everywhere = len(hosts) == all_hosts and outcome == "ok"
        words.append(outcome if everywhere else f"{outcome}: {hosts_in_words(hosts)}")
    if not words:
        return None
    mark = "~ " if task.handler else ""
    return f"{task.ended - since:7.1f} s {task.seconds:6.1f} s  {mark}{task.name}  [{'; '.join(words)}]"


def recap_line(host: str, counts: dict[str, int], width: int) -> str:
    """The counts of one host, in the words of Ansible's own recap."""
    keys = (("ok", "ok"), ("changed", "changed"), ("unreachable", "unreachable"), ("failures", "failed"))
    keys += (("skipped", "skipped"), ("rescued", "rescued"), ("ignored", "ignored"))
    return f"{host:<{width}} : " + " ".join(f"{word}={counts.get(key, 0)}" for key, word in keys)


def slowest(tasks: list[Task]) -> list[str]:
    """The tasks that took longest, the longest first."""
    found = sorted((task for task in tasks if task.seconds >= NOTABLE), key=lambda task: -task.seconds)
    return [f"{task.seconds:7.1f} s  {task.name}" for task in found[:SLOWEST]]


def message_of(result: dict[str, object]) -> str:
    """What a failed result says, the items of a loop included; never more than it would show itself."""
    items = result.get("results")
    if isinstance(items, list):
        parts = [message_of(item) for item in items if isinstance(item, dict) and item.get("failed")]
        if parts:
            return "\n".join(parts)
    for key in ("msg", "censored", "stderr", "module_stderr", "exception"):
        value = result.get(key)
        if isinstance(value, list):
            return "\n".join(str(line) for line in value)
        if value:
            return str(value).strip()
    return "it failed and said nothing"


def failure_lines(failures: list[Failure]) -> list[str]:
    """Failures once more, hosts that failed alike together."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for failure in failures:
        alike[failure.task, failure.message].append(failure.host)
    lines = []
    for (task, message), hosts in alike.items():
        lines.append(f"{hosts_in_words(sorted(set(hosts)))}: {task}")
        lines += [f"    {line}" for line in message.splitlines()]
    return lines
