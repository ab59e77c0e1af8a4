"""Which rules contain which (`component-helpers/auth/rbac/validation`, `pkg/registry/rbac/validation`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

Rule = dict[str, Any]

FULL_AUTHORITY: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
TITLES = (
    ("apiGroups", "APIGroups"),
    ("resources", "Resources"),
    ("nonResourceURLs", "NonResourceURLs"),
    ("resourceNames", "ResourceNames"),
    ("verbs", "Verbs"),
)


def missing(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What the owned rules do not allow of the wanted ones, one verb on one thing each."""
    owned = list(owned)
    parts = (part for rule in wanted for part in _parts(rule))
    return [part for part in parts if not any(_contains(rule, part) for rule in owned)]


def described(rules: Iterable[Rule]) -> list[str]:
    """Rules as error messages show them, sorted; verbs on the same thing are joined."""
    joined: dict[tuple[str, str, str], Rule] = {}
    others = []
    for rule in rules:
        if "resources" not in rule:
            others.append(rule)
            continue
        names = rule.get("resourceNames") or [""]
        key = (rule["apiGroups"][0], rule["resources"][0], names[0])
        found = joined.setdefault(key, {**rule, "verbs": []})
        found["verbs"] += rule["verbs"]
    return sorted({_text(rule) for rule in (*others, *joined.values())})


def quoted(values: Iterable[str]) -> str:
    """Strings as Go's `%q` prints a slice of them."""
    return f"[{' '.join(msgspec.json.encode(value).decode() for value in values)}]"


def _text(rule: Rule) -> str:
    parts = [f"{title}:{quoted(rule[key])}" for key, title in TITLES if rule.get(key)]
    return "{" + ", ".join(parts) + "}"


def _parts(rule: Rule) -> Iterator[Rule]:
    verbs = rule.get("verbs") or ()
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in verbs:
                part = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                yield from ({**part, "resourceNames": [name]} for name in names) if names else (part,)
    for path in rule.get("nonResourceURLs") or ():
        for verb in verbs:
            yield {"nonResourceURLs": [path], "verbs": [verb]}


def _contains(rule: Rule, part: Rule) -> bool:
    if not _has(rule.get("verbs"), part["verbs"][0]):
        return False
    if "nonResourceURLs" in part:
        return any(_path(item, part["nonResourceURLs"][0]) for item in rule.get("nonResourceURLs") or ())
    if not _has(rule.get("apiGroups"), part["apiGroups"][0]):
        return False
    resources, resource = rule.get("resources") or (), part["resources"][0]
    _, slash, subresource = resource.partition("/")
    if not (_has(resources, resource) or (slash and f"*/{subresource}" in resources)):
        return False
    names = rule.get("resourceNames") or ()
    return not names or (bool(part.get("resourceNames")) and part["resourceNames"][0] in names)


def _has(values: Sequence[str] | None, wanted: str) -> bool:
    return values is not None and ("*" in values or wanted in values)


def _path(pattern: str, path: str) -> bool:
    return pattern == path or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))
