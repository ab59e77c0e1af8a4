"""Events on Nodes: what CloudHub has to say about a node, where people look for it (`kubectl describe node`).

One Event per node and reason, `<node>.<reason in lower case>` in namespace `default`, whose count grows;
so several CloudCores and several starts write to the same one. Without the API it is written later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from edgelab.cloudcore.eventrecords import Subject, record
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock, rfc3339
from edgelab.kube.interface import KubeApi, Obj


class _Topic(NamedTuple):
    node: str
    reason: str


class _News(NamedTuple):
    text: str
    times: int


class NodeEvents:
    """A module; `report` at any time. Of a node that the cluster does not have, nothing is written."""

    name = "cloudhub/events"

    def __init__(
        self, api: KubeApi, node_of: Callable[[str], Mapping[str, Obj] | None], clock: Clock = SYSTEM
    ) -> None:
        self._api = api
        self._node_of = node_of
        self._clock = clock
        self._news: dict[_Topic, _News] = {}
        self._queue: WorkQueue[_Topic] = WorkQueue(self.name, self._write, workers=2, clock=clock)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._queue.run()

    def report(self, node: str, reason: str, text: str, times: int = 1) -> None:
        """Have a warning written on the Node; repeats that wait are merged."""
        if self._node_of(node) is None:
            return
        subject = _Topic(node, reason)
        waiting = self._news.get(subject)
        self._news[subject] = _News(text, times + (waiting.times if waiting else 0))
        self._queue.add(subject)

    async def _write(self, subject: _Topic) -> None:
        news, node = self._news.get(subject), self._node_of(subject.node)
        if news is None or node is None:
            self._news.pop(subject, None)
            return
        about = Subject("v1", "Node", "", subject.node, node["metadata"].get("uid", ""), subject.reason)
        await record(self._api, about, news.text, news.times, rfc3339(self._clock.now()))
        if self._news.get(subject) is news:
            del self._news[subject]
