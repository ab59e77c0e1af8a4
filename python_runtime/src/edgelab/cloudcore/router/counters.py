"""What became of each rule's messages, in its status: `successMessages`, `failMessages`, `errors`.

Counts are kept as differences and added to what the API has, by a merge patch that names the version it adds
to: several CloudCores count together, and nothing is lost when the API is away. One patch a second for each
rule at most. `errors` has the newest texts, newest first; the original keeps one.
The original's patch misses `status` (KubeEdge `edgecontroller/controller/upstream.go`), and nothing changes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from edgelab.cloudcore.router.measures import DELIVERED, FAILED, Measures
from edgelab.cloudcore.router.rules import Rule
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import Informer, Key
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import RULES
from edgelab.objects.status import ApiError

ERRORS, LONGEST = 5, 300
"""Texts in a status, and characters of one."""
EVERY = 1.0
"""Seconds between two patches of one rule."""
WORKERS = 4
TRIES = 5


@dataclass(slots=True)
class _Tally:
    uid: str
    success: int = 0
    fail: int = 0
    errors: list[str] = field(default_factory=list)


class Counters:
    """A module."""

    name = "router/counters"

    def __init__(self, api: KubeApi, measures: Measures, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._measures = measures
        self._clock = clock
        self._tallies: dict[Key, _Tally] = {}
        self._queue: WorkQueue[Key] = WorkQueue(self.name, self._write, workers=WORKERS, clock=clock)
        self._rules: Informer | None = None

    def follow(self, rules: Informer) -> None:
        """Know what the API has."""
        self._rules = rules

    async def run(self) -> None:
        """Write until cancelled, and once more what is left."""
        try:
            await self._queue.run()
        finally:
            await self._last_words()

    def success(self, rule: Rule) -> None:
        """A message has arrived."""
        self._measures.count(rule, DELIVERED)
        self._tally(rule).success += 1

    def failure(self, rule: Rule, error: str) -> None:
        """A message has not."""
        self._measures.count(rule, FAILED)
        tally = self._tally(rule)
        tally.fail += 1
        text = error[:LONGEST]
        if text in tally.errors:
            tally.errors.remove(text)
        tally.errors.insert(0, text)
        del tally.errors[ERRORS:]

    def _tally(self, rule: Rule) -> _Tally:
        tally = self._tallies.get(rule.key)
        if tally is None or tally.uid != rule.uid:
            tally = self._tallies[rule.key] = _Tally(rule.uid)
            self._queue.add(rule.key)
        return tally

    async def _write(self, key: Key) -> None:
        await self._clock.sleep(EVERY)
        await self._add(key)

    async def _add(self, key: Key) -> None:
        """Add to the status. Raises ApiError and Unreachable; then the numbers stay here."""
        namespace, name = key
        found = None if self._rules is None else self._rules.store.get(key)
        for attempt in range(TRIES):
            try:
                found = found or await self._api.get(RULES, name, namespace)
                tally = self._tallies.get(key)
                if tally is None or found["metadata"].get("uid") != tally.uid:
                    self._tallies.pop(key, None)  # of a rule that was deleted meanwhile
                    return
                sent = _Tally(tally.uid, tally.success, tally.fail, list(tally.errors))
                await self._api.patch(RULES, name, _patch(found, sent), namespace)
            except ApiError as error:
                if error.code == 404:
                    self._tallies.pop(key, None)
                    return
                if error.code != 409 or attempt == TRIES - 1:
                    raise
                found = None
            else:
                self._subtract(key, tally, sent)
                return

    def _subtract(self, key: Key, tally: _Tally, sent: _Tally) -> None:
        tally.success -= sent.success
        tally.fail -= sent.fail
        tally.errors = [text for text in tally.errors if text not in sent.errors]
        if tally.success or tally.fail:
            self._queue.add(key)
        elif self._tallies.get(key) is tally:
            del self._tallies[key]

    async def _last_words(self) -> None:
        """Write what is left within a moment: CloudCore ends."""
        try:
            async with asyncio.timeout(2.0):
                for key in list(self._tallies):
                    await self._add(key)
        except (ApiError, OSError, TimeoutError, RuntimeError):
            pass


def _patch(rule: Obj, tally: _Tally) -> Any:
    status = rule.get("status") or {}
    older = [text for text in status.get("errors") or () if text not in tally.errors]
    return {
        "metadata": {"resourceVersion": rule["metadata"]["resourceVersion"]},
        "status": {
            "successMessages": int(status.get("successMessages") or 0) + tally.success,
            "failMessages": int(status.get("failMessages") or 0) + tally.fail,
            "errors": [*tally.errors, *older][:ERRORS],
        },
    }
