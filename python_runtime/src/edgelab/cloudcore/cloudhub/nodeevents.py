"""Events on Nodes: what CloudHub has to say about a node, where people look for it (`kubectl describe node`).

One Event per node and reason, `<node>.<reason in lower case>` in namespace `default`, whose count grows;
so several CloudCores and several starts write to the same one. Without the API it is written later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock, rfc3339
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import EVENTS
from edgelab.objects.status import ApiError

NAMESPACE = "default"
LONGEST_NAME = 253
COMPONENT = "cloudcore"


class _Subject(NamedTuple):
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
        self._news: dict[_Subject, _News] = {}
        self._queue: WorkQueue[_Subject] = WorkQueue(self.name, self._write, workers=2, clock=clock)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._queue.run()

    def report(self, node: str, reason: str, text: str, times: int = 1) -> None:
        """Have a warning written on the Node; repeats that wait are merged."""
        if self._node_of(node) is None:
            return
        subject = _Subject(node, reason)
        waiting = self._news.get(subject)
        self._news[subject] = _News(text, times + (waiting.times if waiting else 0))
        self._queue.add(subject)

    async def _write(self, subject: _Subject) -> None:
        news, node = self._news.get(subject), self._node_of(subject.node)
        if news is None or node is None:
            self._news.pop(subject, None)
            return
        ending = f".{subject.reason.lower()}"
        name = subject.node[: LONGEST_NAME - len(ending)] + ending
        now = rfc3339(self._clock.now())
        try:
            present = await self._api.get(EVENTS, name, NAMESPACE)
        except ApiError as error:
            if error.code != 404:
                raise
            await self._api.create(EVENTS, _event(name, subject, news, node, now), NAMESPACE)
        else:
            count = (present.get("count") or 0) + news.times
            change = {"count": count, "lastTimestamp": now, "message": news.text}
            await self._api.patch(EVENTS, name, change, NAMESPACE)
        if self._news.get(subject) is news:
            del self._news[subject]


def _event(name: str, subject: _Subject, news: _News, node: Mapping[str, Obj], now: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Node",
            "name": subject.node,
            "uid": node["metadata"].get("uid", ""),
        },
        "type": "Warning",
        "reason": subject.reason,
        "message": news.text,
        "source": {"component": COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": news.times,
    }
