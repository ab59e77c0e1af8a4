"""What each action of a job does on this node.

`Check`, `Pull` and `WaitingConfirmation` are done here; backing up, upgrading, other settings and going
back are keadm's. It goes back by itself when EdgeCore does not work with a new version or new settings,
so that `RollBack` has something to do only when the machine went down in between.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.edgecore.interfaces import Puller, PullFailed
from edgelab.edgecore.taskmanager.checks import CheckFailed, check
from edgelab.edgecore.taskmanager.commands import CommandFailed, Commands
from edgelab.edgecore.taskmanager.record import Record, Records
from edgelab.objects.nodejobs.flows import PREPULL, UPGRADE
from edgelab.protocol import nodejobs

MOST_IMAGES = 64
RETRY_SECONDS = 2.0, 30.0


class ActionFailed(Exception):
    """Why an action failed; `extend` is reported besides."""

    def __init__(self, reason: str, extend: str = "") -> None:
        super().__init__(reason)
        self.extend = extend


class Actions:
    """Does them. `run` gives what is reported in `extend`, and raises ActionFailed."""

    def __init__(
        self,
        commands: Commands,
        records: Records,
        clock: Clock,
        *,
        version: Callable[[], str] | None = None,
    ) -> None:
        self.puller: Puller | None = None
        """edged; None while it is off."""
        self._commands = commands
        self._records = records
        self._clock = clock
        self._version = version or _version

    async def run(self, record: Record) -> str:
        """Do the record's action, or go on with it. Raises ActionFailed."""
        job = nodejobs.parse(record.resource)
        does: dict[str, Callable[[Record], Awaitable[str]]] = {
            "Check": self._check,
            "Pull": self._pull,
            "WaitingConfirmation": _nothing,
            "BackUp": self._back_up,
            "Upgrade": self._upgrade,
            "Update": self._update,
            "RollBack": self._roll_back,
        }
        if job is None or record.action not in does:
            raise ActionFailed(f"{record.action} of {record.resource} is not known here")
        try:
            return await does[record.action](record)
        except CheckFailed as failure:
            raise ActionFailed(str(failure)) from None
        except CommandFailed as failure:
            raise ActionFailed(str(failure), self._versions(record)) from None

    async def _check(self, record: Record) -> str:
        kind = nodejobs.parse(record.resource)
        spec = record.spec
        record.before = self._version()
        if kind is not None and kind.type == PREPULL:
            spec = spec.get("imagePrePullTemplate") or {}
            if not 0 < len(spec.get("images") or []) <= MOST_IMAGES:
                raise ActionFailed(f"images: between 1 and {MOST_IMAGES} are pulled by one job")
        await check(spec.get("checkItems") or [], self._clock)
        if kind is not None and kind.type == UPGRADE:
            words = ["upgrade", "edge", "--toVersion", _wanted(record), "--dry-run"]
            await self._commands.run(*words)
            self._commands.forget()
        return ""

    async def _pull(self, record: Record) -> str:
        template = record.spec.get("imagePrePullTemplate") or {}
        results, failed = [], False
        for image in template.get("images") or []:
            reason = await self._have(str(image), template)
            failed = failed or bool(reason)
            results.append({"image": image, "status": "False" if reason else "True", "reason": reason})
        told = [{key: value for key, value in one.items() if value} for one in results]
        extend = msgspec.json.encode(told).decode()
        if failed:
            raise ActionFailed("there were some failures when pulling images", extend)
        return extend

    async def _have(self, image: str, template: dict[str, object]) -> str:
        """Pull one image, several times if need be; the reason when it cannot be had."""
        if self.puller is None:
            return "modules.edged is off on this node"
        pauses, reason = delays(*RETRY_SECONDS), ""
        for attempt in range(1 + int(str(template.get("retryTimes") or 0))):
            if attempt:
                await self._clock.sleep(next(pauses))
            try:
                await self.puller.pull_image(image, str(template.get("imageSecrets") or ""))
            except PullFailed as failure:
                reason = str(failure)
            else:
                return ""
        return reason

    async def _back_up(self, record: Record) -> str:
        await self._commands.run("backup", "edge")
        self._commands.forget()
        return self._versions(record)

    async def _upgrade(self, record: Record) -> str:
        await self._beside(record, "upgrade", "edge", "--force", "--toVersion", _wanted(record))
        return self._versions(record)

    async def _update(self, record: Record) -> str:
        fields = record.spec.get("updateFields") or {}
        pairs = [f"{key}={value}" for key, value in sorted(fields.items())]
        await self._beside(record, "config-update", *(word for pair in pairs for word in ("--set", pair)))
        return ""

    async def _beside(self, record: Record, *words: str) -> None:
        """Run what may restart EdgeCore: the next one, which finds it started, waits for its end."""
        if not record.started:
            self._commands.forget()
            record.started = True
            await self._records.save(record)
            await self._commands.start(*words)
        await self._commands.finish()
        self._commands.forget()

    async def _roll_back(self, record: Record) -> str:
        kind = nodejobs.parse(record.resource)
        if kind is not None and kind.type == UPGRADE and self._version() != record.before:
            await self._beside(record, "rollback", "edge", "--historical-version", record.before)
        return self._versions(record)

    def _versions(self, record: Record) -> str:
        kind = nodejobs.parse(record.resource)
        if kind is None or kind.type != UPGRADE or record.action == "Check":
            return ""
        return f"{record.before},{self._version()}"


async def _nothing(_record: Record) -> str:
    return ""


def _wanted(record: Record) -> str:
    """The version that a job asks for; a `v` in front is the original's way of writing one."""
    version = str(record.spec.get("version") or "")
    known = Path("/opt/edgelab/venvs") / version
    return version if known.exists() else version.removeprefix("v")


def _version() -> str:
    """The name of the version that is current on this host."""
    current = Path("/opt/edgelab/current")
    return (current if current.exists() else Path(sys.prefix)).resolve().name
