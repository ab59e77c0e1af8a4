"""The installed rules: follows Rules and RuleEndpoints, also changed ones, and endpoints that come later.

Receives: the informers' events. Tells: `changed(old, new)` of each origin whose rule is another one.
A rule that cannot be carried out, or whose origin an older rule has, is in `problems` with the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from edgelab.cloudcore.router.paths import PathTable
from edgelab.cloudcore.router.rules import EVENTBUS, REST, SERVICEBUS, Origin, Rule, Unusable, parse
from edgelab.kube.informer import DELETED, Informer, Key
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import key_of

log = logging.getLogger("edgelab.cloudcore.router")


class RuleTable:
    """What is installed now."""

    def __init__(self) -> None:
        self.changed: list[Callable[[Rule | None, Rule | None], None]] = []
        """Each is called as `changed(old, new)`; one of the two may be None."""
        self.problems: dict[Key, str] = {}
        self._endpoints: dict[Key, Obj] = {}
        self._objects: dict[Key, Obj] = {}
        self._rules: dict[Key, Rule] = {}
        self._claims: dict[Origin, list[Rule]] = {}
        self._by_node: dict[str, dict[Key, Rule]] = {}
        self._paths: dict[str, PathTable[Rule]] = {}

    def follow(self, rules: Informer, endpoints: Informer) -> None:
        """Install what there is, now and later."""
        endpoints.add_handler(self._endpoint_changed)
        rules.add_handler(self._rule_changed)

    def find(self, namespace: str, segments: Sequence[str]) -> tuple[Rule, int] | None:
        """The rule for a REST path, and how many segments are its own."""
        table = self._paths.get(namespace)
        return None if table is None else table.find(segments)

    def of_topic(self, node: str, topic: str) -> Rule | None:
        """The rule for what a node's MQTT clients publish."""
        return self._active(Origin(EVENTBUS, node, (topic,)))

    def of_url(self, node: str, url: str) -> Rule | None:
        """The rule for what programs of a node send to a URL."""
        return self._active(Origin(SERVICEBUS, node, (url,)))

    def of_node(self, node: str) -> list[Rule]:
        """The rules whose messages come from a node."""
        return list(self._by_node.get(node, {}).values())

    def get(self, key: Key) -> Rule | None:
        """The rule of this name, if it is carried out."""
        rule = self._rules.get(key)
        return rule if rule is not None and self._active(rule.origin) is rule else None

    def _active(self, origin: Origin) -> Rule | None:
        claims = self._claims.get(origin)
        return claims[0] if claims else None

    def _endpoint_changed(self, event: str, _old: Obj | None, endpoint: Obj) -> None:
        key = key_of(endpoint)
        if event == DELETED:
            self._endpoints.pop(key, None)
        else:
            self._endpoints[key] = endpoint
        for rule_key in self._users_of(key):
            self._install(rule_key)

    def _users_of(self, endpoint: Key) -> Iterator[Key]:
        for key, rule in list(self._objects.items()):
            spec = rule.get("spec") or {}
            if key[0] == endpoint[0] and endpoint[1] in (spec.get("source"), spec.get("target")):
                yield key

    def _rule_changed(self, event: str, _old: Obj | None, rule: Obj) -> None:
        key = key_of(rule)
        if event == DELETED:
            self._objects.pop(key, None)
        else:
            self._objects[key] = rule
        self._install(key)

    def _install(self, key: Key) -> None:
        """Bring one rule into the state that the objects have."""
        present, wanted = self._rules.get(key), self._parsed(key)
        if present == wanted:
            return
        origins = {rule.origin for rule in (present, wanted) if rule is not None}
        before = {origin: self._active(origin) for origin in origins}
        if present is not None:
            self._claims[present.origin].remove(present)
            del self._rules[key]
        if wanted is not None:
            self._rules[key] = wanted
            claims = self._claims.setdefault(wanted.origin, [])
            claims.append(wanted)
            claims.sort(key=lambda rule: (rule.created, *rule.key))
        for origin, old in before.items():
            self._settle(origin, old)

    def _settle(self, origin: Origin, old: Rule | None) -> None:
        new = self._active(origin)
        for loser in self._claims[origin][1:]:
            first = self._claims[origin][0]
            self._complain(loser.key, f"rule {first.name} of namespace {first.namespace} has its source")
        if not self._claims[origin]:
            del self._claims[origin]
        if new == old:
            return
        if new is not None:
            self.problems.pop(new.key, None)
            log.info("rule %s/%s is carried out", *new.key)
        if origin.kind == REST:
            self._rebuild(origin.where)
        else:
            self._note(origin.where, old, new)
        for listener in self.changed:
            listener(old, new)

    def _note(self, node: str, old: Rule | None, new: Rule | None) -> None:
        rules = self._by_node.setdefault(node, {})
        if old is not None:
            rules.pop(old.key, None)
        if new is not None:
            rules[new.key] = new
        if not rules:
            del self._by_node[node]

    def _rebuild(self, namespace: str) -> None:
        entries = [
            (origin.what, claims[0])
            for origin, claims in self._claims.items()
            if origin.kind == REST and origin.where == namespace and claims
        ]
        if entries:
            self._paths[namespace] = PathTable(entries)
        else:
            self._paths.pop(namespace, None)

    def _parsed(self, key: Key) -> Rule | None:
        obj = self._objects.get(key)
        if obj is None:
            self.problems.pop(key, None)
            return None
        spec = obj.get("spec") or {}
        ends = (self._endpoints.get((key[0], str(spec.get(end)))) for end in ("source", "target"))
        try:
            return parse(obj, *ends)
        except Unusable as error:
            self._complain(key, str(error))
            return None

    def _complain(self, key: Key, why: str) -> None:
        if self.problems.get(key) != why:
            log.warning("rule %s/%s is not carried out: %s", *key, why)
            self.problems[key] = why
