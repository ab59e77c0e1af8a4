"""Events about objects: one for each object and reason, whose count grows.

So several CloudCores and several starts write to the same one.
"""

from __future__ import annotations

from typing import NamedTuple

from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import EVENTS
from edgelab.objects.status import ApiError

LONGEST_NAME = 253
COMPONENT = "cloudcore"


class Subject(NamedTuple):
    """What an Event is about: the reference of an object, and a word why."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    reason: str

    @property
    def home(self) -> str:
        """The namespace that its Event is in."""
        return self.namespace or "default"


async def record(api: KubeApi, subject: Subject, text: str, times: int, now: str) -> None:
    """Write a warning. Raises ApiError and Unreachable."""
    ending = f".{subject.reason.lower()}"
    name = subject.name[: LONGEST_NAME - len(ending)] + ending
    try:
        present = await api.get(EVENTS, name, subject.home)
    except ApiError as error:
        if error.code != 404:
            raise
        await api.create(EVENTS, _event(name, subject, text, times, now), subject.home)
        return
    change = {"count": (present.get("count") or 0) + times, "lastTimestamp": now, "message": text}
    await api.patch(EVENTS, name, change, subject.home)


def _event(name: str, subject: Subject, text: str, times: int, now: str) -> Obj:
    place = {"namespace": subject.namespace} if subject.namespace else {}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": subject.home},
        "involvedObject": {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            **place,
            "name": subject.name,
            "uid": subject.uid,
        },
        "type": "Warning",
        "reason": subject.reason,
        "message": text,
        "source": {"component": COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": times,
    }
