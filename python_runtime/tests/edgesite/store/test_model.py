"""The store against a model that remembers everything: whatever is written, forgotten and reopened in
whatever order, states and changes of every revision that is kept are those that were.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.edgesite.store.stores import encoder, key, opened, value

from edgelab.edgesite.store import Compacted, Store
from edgelab.edgesite.store import compaction as compaction_module

BUCKETS = ("configmaps", "nodes", "pods")
State = dict[tuple[str, str], Any]


class Model:
    """Every state there ever was, by revision."""

    def __init__(self) -> None:
        self.states: dict[int, State] = {1: {}}
        self.changes: list[tuple[int, str, str, str, Any]] = []
        self.revision, self.floor = 1, 0

    def wrote(self, revision: int, bucket: str, name: str, content: Any) -> None:
        """A version, or with None a deletion."""
        state = dict(self.states[self.revision])
        if content is None:
            kind = "DELETED"
            content = state.pop((bucket, name))
        else:
            kind = "MODIFIED" if (bucket, name) in state else "ADDED"
            state[bucket, name] = content
        self.states[revision] = state
        self.revision = revision
        self.changes.append((revision, kind, bucket, name, content))

    def between(self, bucket: str, after: int, until: int) -> list[tuple[int, str, str, Any]]:
        """The changes of a resource in (after, until]."""
        return [
            (revision, kind, name, content)
            for revision, kind, where, name, content in self.changes
            if where == bucket and after < revision <= until
        ]


async def step(store: Store, model: Model, luck: random.Random) -> None:
    """One to five writes at once, some of them to the same object."""
    writes = []
    for _ in range(luck.randrange(1, 6)):
        bucket, name = luck.choice(BUCKETS), f"n{luck.randrange(6)}"
        where = key(name, bucket=bucket)
        if store.head(where) is not None and luck.random() < 0.35:
            writes.append((bucket, name, None, store.delete(where, encoder(f"gone {model.revision}"))))
        else:
            content = luck.randrange(10**6)
            writes.append((bucket, name, content, store.put(where, encoder(content))))
    for bucket, name, content, written in writes:
        model.wrote((await written).revision, bucket, name, content)


async def compare(store: Store, model: Model, luck: random.Random) -> None:
    """The present, some state of the past, and the changes since then."""
    present = {(e.key.bucket, e.key.name): value(e.data) for b in BUCKETS for e in store.entries(b)}
    assert present == model.states[model.revision]
    bucket, then = luck.choice(BUCKETS), luck.choice(sorted(model.states))
    try:
        past = {e.key.name: value(e.data) for e in await store.list_at(bucket, then)}
    except Compacted:
        assert then < model.floor
        return
    if then < model.floor:
        assert not model.between(bucket, then, store.revision), "only what did not change is still known"
    assert past == {name: content for (where, name), content in model.states[then].items() if where == bucket}
    with store.watch_now(bucket) as watch:
        await store.replay(watch, then, store.revision)
        events = await watch.events(patience=0)
    told = [(e.entry.revision, e.type, e.entry.key.name) for e in events]
    assert told == [change[:3] for change in model.between(bucket, then, store.revision)]
    for event in events:
        if event.previous is not None:
            before = max(r for r in model.states if r < event.entry.revision)
            assert value(event.previous.data) == model.states[before][bucket, event.entry.key.name]


@pytest.mark.parametrize("seed", range(6))
async def test_states_and_changes_are_those_that_were(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    luck, model = random.Random(seed), Model()
    monkeypatch.setattr(compaction_module, "COMPACTION_ROWS", luck.choice([1, 3, 500]))
    for _ in range(6):
        async with opened(tmp_path) as store:
            assert store.revision == model.revision
            for _ in range(20):
                await step(store, model, luck)
                await compare(store, model, luck)
                if luck.random() < 0.15:
                    model.floor = luck.randrange(max(1, model.floor), model.revision + 1)
                    await store.compact(model.floor)
                    await compare(store, model, luck)
