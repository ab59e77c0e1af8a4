"""What is wrong with an application: a log line and an Event on it, once for each text."""

from __future__ import annotations

import logging

from edgelab.cloudcore.eventrecords import Subject, record
from edgelab.daemon.clock import SYSTEM, Clock, rfc3339
from edgelab.kube.informer import Key
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.objects.metadata import key_of

log = logging.getLogger("edgelab.cloudcore.applications")

LONGEST = 1000


class Notices:
    """Remembers the last text of each object, so that repeated attempts do not repeat it."""

    def __init__(self, api: KubeApi, resource: Resource, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._resource = resource
        self._clock = clock
        self._said: dict[Key, str] = {}

    async def tell(self, obj: Obj, reason: str, problems: list[str]) -> None:
        """Say what is wrong now; no problems, nothing to say. Raises ApiError and Unreachable."""
        key, text = key_of(obj), "; ".join(problems)[:LONGEST]
        if not text:
            self._said.pop(key, None)
        if not text or self._said.get(key) == text:
            return
        log.warning("%s %s/%s: %s", self._resource.kind, *key, text)
        about = Subject(self._resource.api_version, self._resource.kind, *key, obj["metadata"]["uid"], reason)
        await record(self._api, about, text, 1, rfc3339(self._clock.now()))
        self._said[key] = text

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._said.pop(key, None)
