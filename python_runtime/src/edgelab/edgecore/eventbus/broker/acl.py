"""Rules of topics, in the form of Mosquitto's `acl_file`.

`topic [read|write|readwrite|deny] FILTER` counts for the user of the last `user NAME` line before it, or
for clients without a name when there is none; `pattern ...` counts for everyone, `%u` and `%c` being
the user's name and the client's id. What no rule allows is refused; a `deny` that covers a topic wins.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from edgelab.edgecore.eventbus import names

Right = Literal["read", "write"]

RIGHTS: dict[str, frozenset[str]] = {
    "read": frozenset({"read"}),
    "write": frozenset({"write"}),
    "readwrite": frozenset({"read", "write"}),
    "deny": frozenset(),
}


class Rule(NamedTuple):
    """What a filter's topics may be used for; nothing means that they are denied."""

    rights: frozenset[str]
    pattern: str

    def denies(self) -> bool:
        """Whether the rule takes rights away."""
        return not self.rights


class Acl:
    """All rules of a file."""

    def __init__(self, users: dict[str, list[Rule]], patterns: list[Rule]) -> None:
        self._users = users
        self._patterns = patterns

    def allows(self, right: Right, user: str, client_id: str, topic: str) -> bool:
        """Whether a client may read or write a topic."""
        rules = list(self._users.get(user, ()))
        for rule in self._patterns:
            if ("%u" in rule.pattern and not _is_level(user)) or (
                "%c" in rule.pattern and not _is_level(client_id)
            ):
                continue  # a name with a wildcard or a slash would widen the rule
            pattern = rule.pattern.replace("%u", user).replace("%c", client_id)
            rules.append(Rule(rule.rights, pattern))
        covering = [rule for rule in rules if names.matches(rule.pattern, topic)]
        return any(right in rule.rights for rule in covering) and not any(r.denies() for r in covering)


def _is_level(text: str) -> bool:
    return bool(text) and not any(mark in text for mark in "+#/%")


def read_acl(text: str) -> Acl:
    """Read the file. Raises ValueError with the number of the line."""
    users: dict[str, list[Rule]] = {}
    patterns: list[Rule] = []
    user = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "user" and rest.strip():
            user = rest.strip()
        elif word == "topic":
            users.setdefault(user, []).append(_rule(rest, number))
        elif word == "pattern":
            patterns.append(_rule(rest, number))
        else:
            raise ValueError(
                f"line {number}: expected user NAME, topic ... or pattern ..., not {line[:40]!r}"
            )
    return Acl(users, patterns)


def _rule(rest: str, number: int) -> Rule:
    first, _, pattern = rest.strip().partition(" ")
    if first not in RIGHTS:
        first, pattern = "readwrite", rest
    pattern = pattern.strip()
    if problem := names.filter_problem(pattern):
        raise ValueError(f"line {number}: {pattern[:40]!r}: {problem}")
    return Rule(RIGHTS[first], pattern)
