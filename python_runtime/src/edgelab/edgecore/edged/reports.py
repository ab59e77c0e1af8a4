"""Sends pod statuses to the cloud: only what changed, the newest only, again after a reconnect.

Receives: statuses from the pod workers. Sends: strategic merge patches through MetaManager. Stores
nothing itself; MetaManager keeps the newest patch while the cloud is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged.staticpods import is_static
from edgelab.edgecore.interfaces import Meta, NoAnswer, Offline, RemoteError

log = logging.getLogger(__name__)
Obj = dict[str, Any]

RETRY = 10.0
"""Seconds until a patch that failed is sent again, unless the connection comes back earlier."""

OPTIONAL = ("reason", "message", "podIP", "podIPs", "initContainerStatuses", "ephemeralContainerStatuses")


@dataclass(slots=True)
class Report:
    """The status of one pod: `wanted` is to be sent, `sent` is what the cloud has confirmed."""

    namespace: str
    name: str
    wanted: Obj
    sent: Obj | None = None
    known: Obj = field(default_factory=dict)
    static: bool = False


class Reports:
    """Statuses of all pods, by uid."""

    def __init__(self, meta: Meta, clock: Clock) -> None:
        self._meta = meta
        self._clock = clock
        self._reports: dict[str, Report] = {}
        self._mirrors: dict[str, str] = {}
        self.gone: Callable[[str], None] = lambda uid: None
        """Called with the uid of a pod that the API does not know any more."""
        self._kick = asyncio.Event()
        self._changed = asyncio.Condition()

    def publish(self, pod: Obj, status: Obj) -> None:
        """Note a pod's status; it is sent soon if it differs from what the cloud has."""
        metadata = pod["metadata"]
        report = self._reports.get(metadata["uid"])
        if report is None:
            known = pod.get("status") or {}
            static = is_static(pod)
            report = Report(metadata["namespace"], metadata["name"], status, known=known, static=static)
            self._reports[metadata["uid"]] = report
        report.wanted = status
        if report.wanted != report.sent:
            self._kick.set()

    def last(self, pod: Obj) -> Obj:
        """The newest status of a pod: published here, else the one its object carries."""
        report = self._reports.get(pod["metadata"]["uid"])
        if report is not None:
            return report.wanted
        found: Obj = pod.get("status") or {}
        return found

    def mirror(self, uid: str, mirror: str) -> None:
        """The status of the static pod `uid` goes to its mirror, which the API knows under another uid."""
        if self._mirrors.get(uid) != mirror:
            self._mirrors[uid] = mirror
            if (report := self._reports.get(uid)) is not None:
                report.sent = None
                self._kick.set()

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._reports.pop(uid, None)
        self._mirrors.pop(uid, None)

    def connected(self) -> None:
        """The cloud is back: it may have missed anything, so everything is sent again."""
        for report in self._reports.values():
            report.sent = None
        self._kick.set()

    async def delivered(self, uid: str, limit: float) -> None:
        """Wait until a pod's newest status has reached the cloud, for `limit` seconds at most."""
        try:
            async with asyncio.timeout(limit), self._changed:
                await self._changed.wait_for(lambda: self._is_sent(uid))
        except TimeoutError:
            log.debug("the status of pod %s has not reached the cloud yet", uid)

    async def run(self) -> NoReturn:
        """Send for ever."""
        while True:
            await self._kick.wait()
            self._kick.clear()
            due = [(uid, r) for uid, r in self._reports.items() if r.wanted != r.sent and self._knows(uid, r)]
            # At the same time: ten pods that start together must not wait for one another's answers.
            sent = await asyncio.gather(*(self._send(uid, report) for uid, report in due))
            async with self._changed:
                self._changed.notify_all()
            if not all(sent):
                await self._wait_before_retry()

    async def _wait_before_retry(self) -> None:
        try:
            async with asyncio.timeout(RETRY):
                await self._kick.wait()
        except TimeoutError:
            self._kick.set()

    async def _send(self, uid: str, report: Report) -> bool:
        status = report.wanted
        patch = {
            "metadata": {"uid": self._mirrors.get(uid, uid)},
            "status": patch_of(status, report.sent or report.known),
        }
        try:
            await self._meta.patch_pod_status(report.namespace, report.name, patch)
        except (Offline, NoAnswer):
            return False
        except RemoteError as error:
            # Invalid: a pod of this name has another uid, which kube-apiserver calls immutable.
            another = error.reason == "Invalid" and "metadata.uid" in str(error)
            if error.reason not in ("NotFound", "Conflict") and not another:
                log.warning("status of pod %s/%s was refused: %s", report.namespace, report.name, error)
                return False
            log.debug("pod %s/%s is gone from the API", report.namespace, report.name)
            self.gone(uid)
        report.sent = status
        return True

    def _knows(self, uid: str, report: Report) -> bool:
        """Whether the API has this pod: a static one only by its mirror."""
        return not report.static or uid in self._mirrors

    def _is_sent(self, uid: str) -> bool:
        report = self._reports.get(uid)
        return report is None or report.wanted == report.sent


def patch_of(status: Obj, known: Obj) -> Obj:
    """A strategic merge patch that leads from any status to `status`.

    It is complete, not a difference: while the cloud is away only the newest patch is kept. `known` is
    the status that the API may still have, whose outdated fields must be named to be removed.
    """
    patch: Obj = {key: None for key in OPTIONAL if key in known and key not in status}
    patch |= status
    if "conditions" in status:
        # Conditions are merged by type: a reason that is over must be named to go away.
        patch["conditions"] = [{"reason": None, "message": None, **c} for c in status["conditions"]]
    for key in ("podIPs", "hostIPs"):
        new = {entry["ip"] for entry in status.get(key) or []}
        if new and {entry.get("ip") for entry in known.get(key) or []} - new:
            patch[key] = [*status[key], {"$patch": "replace"}]
    return patch
