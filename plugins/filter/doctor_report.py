# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Filters that put together what the doctor found on all hosts, and make it readable."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_catalogue import BY_CODE
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import (
    FAILED,
    OK,
    STATUSES,
    UNKNOWN,
    bad,
    chosen,
    count,
    good,
    redacted,
    warn,
)

WIDTH = 120
CONTROLLER = "localhost"


def doctor_report(results: Mapping[str, Any], controller: Mapping[str, Any]) -> dict[str, Any]:
    """The report over all hosts."""
    hosts: dict[str, list[dict[str, str]]] = {CONTROLLER: []}
    reached = {}
    for host in controller["hosts"]:
        result = results.get(host) or {}
        if "checks" in result:
            reached[host] = result
            hosts[host] = list(result["checks"])
        else:
            hosts[host] = []
    unreached = {host: _why(results.get(host) or {}) for host in controller["hosts"] if host not in reached}
    listed = chosen(list(BY_CODE), controller.get("only") or (), controller.get("ignore") or ())
    for code, finding in _own_checks(reached, unreached, controller):
        if code in listed:
            owner = (
                finding["subject"] if code == "HOST-UNREACHABLE" and finding["status"] != OK else CONTROLLER
            )
            subject = "" if owner != CONTROLLER else finding["subject"]
            hosts[owner].append({"code": code, **finding, "subject": subject})
    counts = count([one for checks in hosts.values() for one in checks])
    return {"hosts": hosts, "counts": counts}


def _why(result: Mapping[str, Any]) -> str:
    text = result.get("msg") or result.get("module_stderr") or "no answer"
    return redacted(" ".join(str(text).split()))[:400]


def _own_checks(
    reached: Mapping[str, Any], unreached: Mapping[str, str], controller: Mapping[str, Any]
) -> list[tuple[str, dict[str, str]]]:
    """Checks of the controller, each as code and finding."""
    found = [("CONTROLLER-ANSIBLE", _ansible(controller["ansible"], controller["ansible_minimum"]))]
    found.append(("CONTROLLER-COLLECTION", _copies(controller["here"], controller["collections"])))
    problems = controller["problems"]
    found += [
        ("CONTROLLER-INVENTORY", bad(line, "correct the inventory: the line names what")) for line in problems
    ]
    if not problems:
        found.append(("CONTROLLER-INVENTORY", good("the inventory is sound")))
    found += [("CONTROLLER-NODE-NAMES", one) for one in _names(controller["names"])]
    found.append(("CONTROLLER-VERSIONS", _versions(reached)))
    for host, reason in unreached.items():
        fix = (
            f"ansible {host} -m ansible.builtin.ping -vvv; is it on, is its address right, does its SSH key "
            "fit, may the user become root?"
        )
        found.append(("HOST-UNREACHABLE", bad(f"could not be examined: {reason}", fix, host)))
    if not unreached:
        found.append(("HOST-UNREACHABLE", good(f"{len(reached)} hosts answered")))
    return found


def _ansible(version: str, minimum: str) -> dict[str, str]:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(".")[:2]]

    if numbers(version) >= numbers(minimum):
        return good(f"ansible-core {version}")
    return bad(f"ansible-core {version}; {minimum} is needed", "pip install --upgrade ansible-core")


def _copies(here: str, paths: Sequence[str]) -> dict[str, str]:
    """Whether the collections path holds other copies than the one in use."""
    places = (Path(path).expanduser() / "ansible_collections" / "edgelab" / "kubeedge" for path in paths)
    own = (Path(here) / "plugins").resolve()
    others = sorted({str(p) for p in places if (p / "plugins").is_dir() and (p / "plugins").resolve() != own})
    if not others:
        return good(f"the collection in use is {own.parent}")
    fix = f"remove {others[0]}, or set ANSIBLE_COLLECTIONS_PATH to the one you mean"
    return warn(f"in use is {own.parent}; another copy is at {', '.join(others)}", fix)


def _names(names: Mapping[str, str]) -> list[dict[str, str]]:
    owners = Counter(names.values())
    twice = sorted(name for name, number in owners.items() if number > 1)
    return [
        bad(
            "is the node name of {}".format(", ".join(host for host in names if names[host] == name)),
            "give each a name of its own in edgecore_node_name",
            name,
        )
        for name in twice
    ] or [good(f"{len(names)} edge hosts, each with a node name of its own")]


def _versions(reached: Mapping[str, Any]) -> dict[str, str]:
    versions = {host: result.get("version") for host, result in reached.items() if result.get("version")}
    if len(set(versions.values())) < 2:
        return good("{} on all hosts".format(next(iter(versions.values()), "no version")))
    told = ", ".join(f"{host} {version}" for host, version in versions.items())
    return warn(
        f"the runtime's versions differ: {told}", "run site.yml without --limit; or finish the upgrade"
    )


def doctor_table(checks: Sequence[Mapping[str, str]], host: str, verbose: bool = False) -> str:
    """The findings of one host as text: the worst first; what is well is a figure unless `verbose`."""
    counts = count(checks)
    summary = ", ".join(f"{number} {status}" for status, number in counts.items())
    shown = [one for one in checks if verbose or one["status"] not in (OK, UNKNOWN)]
    shown = sorted(shown, key=lambda one: STATUSES.index(one["status"]))
    width = max((len(one["code"]) for one in shown), default=0)
    lines = [f"{host}: {summary}"]
    for one in shown:
        about = f"{one['subject']}: " if one["subject"] else ""
        lines += _entry(f"{one['status']:<7}  {one['code']:<{width}}  ", about + one["found"])
        if one["fix"]:
            lines += _entry(" " * (width + 11) + "fix: ", one["fix"])
    lines += [] if verbose else _unknown(checks)
    return "\n".join(line.rstrip() for line in lines)


def _unknown(checks: Sequence[Mapping[str, str]]) -> list[str]:
    """What is not known, by reason: before an installation that is one reason for many checks."""
    by_reason: dict[str, list[str]] = {}
    for one in checks:
        if one["status"] == UNKNOWN:
            by_reason.setdefault(one["found"], []).append(one["code"])
    return [
        line
        for reason, codes in by_reason.items()
        for line in _entry("unknown  ", f"{reason} ({', '.join(codes)})")
    ]


def _entry(head: str, text: str) -> list[str]:
    indent = " " * len(head)
    words = " ".join(text.split())
    return textwrap.wrap(
        words,
        WIDTH,
        initial_indent=head,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    ) or [head]


def doctor_node_names(hostvars: Mapping[str, Mapping[str, Any]], hosts: Sequence[str]) -> dict[str, str]:
    """Node names by host: what the inventory says, else what role edgecore takes."""
    return {host: str(hostvars[host].get("edgecore_node_name") or host.lower()) for host in hosts}


def doctor_failures(report: Mapping[str, Any]) -> list[str]:
    """One line for each failed check of a report: host, code, what was found."""
    return [
        f"{host}: {one['code']}: {one['subject'] + ': ' if one['subject'] else ''}{one['found']}"
        for host, checks in report["hosts"].items()
        for one in checks
        if one["status"] == FAILED
    ]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file."""
        return {
            "doctor_report": doctor_report,
            "doctor_table": doctor_table,
            "doctor_failures": doctor_failures,
            "doctor_node_names": doctor_node_names,
        }
