"""DeviceTwin on a real store, without cloud and broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgelab.daemon.clock import SYSTEM
from edgelab.edgecore.app import NoHub
from edgelab.edgecore.devicetwin.module import DeviceTwin
from edgelab.edgecore.interfaces import Refused
from edgelab.edgecore.store import META_TABLES, TWIN_TABLES, Store
from edgelab.protocol.twin import Twin, TwinValue, TypeMetadata

BAD = (b"", b"{no json", b"\xff\xfe", b"null", b"[]", b'{"x":' * 100_000)


@pytest.mark.parametrize("action", ["twin/cloud_updated", "twin/update", "twin/get", "state/update"])
@pytest.mark.parametrize("payload", BAD, ids=range(len(BAD)))
async def test_whatever_a_client_of_the_broker_sends_does_not_end_edgecore(
    tmp_path: Path, action: str, payload: bytes
) -> None:
    async with Store(tmp_path / "e.db", META_TABLES + TWIN_TABLES) as store:
        twin = DeviceTwin(store, NoHub(), SYSTEM, "edge1")
        twin.device_changed({"metadata": {"namespace": "default", "name": "thermo"}})
        await twin.from_bus(f"$hw/events/device/default/thermo/{action}", payload)
        await twin.from_bus("$hw/events/node/edge1/membership/get", payload)


async def test_a_mapper_reports_by_calls_and_is_told_what_is_not_taken(tmp_path: Path) -> None:
    async with Store(tmp_path / "e.db", META_TABLES + TWIN_TABLES) as store:
        twin = DeviceTwin(store, NoHub(), SYSTEM, "edge1")
        twin.device_changed({"metadata": {"namespace": "default", "name": "thermo"}})
        await twin.report("default/thermo", {"t": Twin(actual=TwinValue("20"), metadata=TypeMetadata("int"))})
        await twin.report_state("default/thermo", "online")
        refusals = [
            twin.report("default/ghost", {"t": Twin(actual=TwinValue("20"))}),
            twin.report("default/thermo", {"t": Twin(actual=TwinValue("warm"))}),
            twin.report_state("default/thermo", "bored"),
            twin.report_state("default/ghost", "online"),
        ]
        codes = []
        for refusal in refusals:
            with pytest.raises(Refused) as refused:
                await refusal
            codes.append(refused.value.code)
        assert codes == [404, 400, 400, 404]
