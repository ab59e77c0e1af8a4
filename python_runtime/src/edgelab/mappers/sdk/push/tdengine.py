"""`pushMethod.dbMethod.TDEngine`: rows by the REST API (docs.tdengine.com, "REST API").

A super-table for each device, as KubeEdge has it (`_template/mapper/data/dbmethod/tdengine`), and below it
a table for each property. Names of tables are the database's, so a property's begins with its device's:
KubeEdge's is the property's alone, and two devices with a `temperature` cannot both have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec

from edgelab.daemon.errors import Unreachable
from edgelab.mappers.sdk.push.credentials import secret
from edgelab.mappers.sdk.push.names import tdengine_name, tdengine_text
from edgelab.mappers.sdk.push.sample import Sample
from edgelab.mappers.sdk.push.target import DEADLINE, Item, Refused, Target
from edgelab.mappers.sdk.push.web import Web, basic, check
from edgelab.objects.pushmethods import TDEngine

COLUMNS = "ts timestamp, deviceid binary(320), propertyname binary(256), data binary(4096), type binary(64)"
FINAL = range(0x2600, 0x2700)
"""Errors of the parser (`taoserror.h`): the statement itself is wrong."""


class _Error(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"error {code:#06x}: {text}")
        self.code = code


class TDEngineTarget(Target):
    """One database."""

    def __init__(self, method: TDEngine) -> None:
        host = f"[{method.host}]" if ":" in method.host else method.host
        self._url = f"http://{host}:{method.port}/rest/sql/{quote(method.database, safe='')}"
        self._web = Web(DEADLINE)
        self._known: set[str] = set()
        """Super-tables that are there."""

    async def send(self, items: Sequence[Item]) -> None:
        """All in one statement, and one more for each device that is new."""
        samples = [item.sample for item in items]
        try:
            await self._create(sample for sample in samples if super_table(sample) not in self._known)
            await self._run(insert(samples))
        except _Error as error:
            if "exist" in str(error):  # numbers of these errors differ between versions
                self._known.clear()
            elif error.code in FINAL:
                raise Refused(str(error)) from None
            raise Unreachable(str(error)) from None

    async def _create(self, samples: Iterable[Sample]) -> None:
        for name in sorted({super_table(sample) for sample in samples}):
            await self._run(create(name))
            self._known.add(name)

    async def _run(self, statement: str) -> None:
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            **basic(secret("USERNAME"), secret("PASSWORD")),
        }
        answer = await self._web.post(self._url, statement.encode(), headers)
        try:
            found = msgspec.json.decode(answer.body)
            code, text = int(found["code"]), str(found.get("desc", ""))
        except (ValueError, LookupError, TypeError, AttributeError):
            check(answer)
            raise Unreachable(f"this is no answer of TDengine: {answer.text!r}") from None
        if code:
            raise _Error(code & 0xFFFF, text)

    async def close(self) -> None:
        """Hang up."""
        await self._web.close()


def super_table(sample: Sample) -> str:
    """`<namespace>/<device>` with `_` for `-`."""
    return tdengine_name(sample.id)


def create(name: str) -> str:
    """The statement that makes a super-table, if it is not there."""
    return f"CREATE STABLE IF NOT EXISTS `{name}` ({COLUMNS}) TAGS (location binary(256))"


def insert(samples: Sequence[Sample]) -> str:
    """The statement that inserts samples, and makes their tables."""
    return "INSERT INTO " + " ".join(map(_row, samples))


def _row(sample: Sample) -> str:
    table = tdengine_name(f"{sample.id}/{sample.prop}")
    values = (sample.utc_time(), sample.id, sample.prop, sample.value, sample.type)
    tag = tdengine_text(tdengine_name(sample.prop))
    texts = ", ".join(map(tdengine_text, values))
    return f"`{table}` USING `{super_table(sample)}` TAGS ({tag}) VALUES ({texts})"
