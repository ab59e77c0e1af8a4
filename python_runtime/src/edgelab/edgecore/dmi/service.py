"""DeviceManagerService: what mappers ask of EdgeCore (KubeEdge `edge/pkg/devicetwin/dmiserver`).

Reports go the way of MQTT clients' messages, so that results, documents and deltas are published and
values travel to the cloud alike. What is wrong with a request is told by the field that is wrong.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from edgelab.daemon.clock import Clock
from edgelab.daemon.unixgrpc import Call, InvalidArgument
from edgelab.edgecore.dmi.limits import RATE, Bucket
from edgelab.edgecore.dmi.mappers import Mappers, socket_path
from edgelab.protocol import topics
from edgelab.protocol.dmi import api_pb2 as pb
from edgelab.protocol.dmi.methods import MANAGER
from edgelab.protocol.twin import KEY, STATES, STRING, value_problem

log = logging.getLogger(__name__)

Report = Callable[[str, bytes], Awaitable[None]]
"""`report(topic, payload)`: takes a message as if an MQTT client had published it."""

_encoder = msgspec.json.Encoder()


class DeviceManager:
    """Answers the calls."""

    def __init__(self, mappers: Mappers, report: Report, clock: Clock) -> None:
        self._mappers = mappers
        self._report = report
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def calls(self) -> list[Call]:
        """The methods that are served."""
        work = {
            "MapperRegister": self.register,
            "ReportDeviceStatus": self.report_status,
            "ReportDeviceStates": self.report_state,
        }
        return [Call(*MANAGER[name], work[name]) for name in MANAGER]

    async def register(self, request: Any) -> Any:
        """MapperRegister."""
        info = request.mapper
        for field in ("name", "protocol"):
            if not getattr(info, field):
                raise InvalidArgument(f"mapper.{field}: is empty")
        try:
            path = socket_path(info.address)
        except ValueError as error:
            raise InvalidArgument(f"mapper.address: {error}") from None
        self._admit(info.protocol)
        try:
            return await self._mappers.register(info, path, with_data=request.withData)
        except sqlite3.Error as error:
            raise GRPCError(Status.UNAVAILABLE, f"mapper {info.name} cannot be stored: {error}") from None

    async def report_status(self, request: Any) -> Any:
        """ReportDeviceStatus: values of properties."""
        device = self._device(request)
        if not request.reportedDevice.twins:
            raise InvalidArgument("reportedDevice.twins: is empty")
        twin = dict(_twin(index, item) for index, item in enumerate(request.reportedDevice.twins))
        await self._send(device, topics.TWIN_UPDATE, {"twin": twin})
        return pb.ReportDeviceStatusResponse()

    async def report_state(self, request: Any) -> Any:
        """ReportDeviceStates: the device's state."""
        device = self._device(request)
        if request.state.lower() not in STATES:
            raise InvalidArgument(f"state: {request.state[:64]!r} is none of {', '.join(sorted(STATES))}")
        await self._send(device, topics.STATE_UPDATE, {"state": request.state})
        return pb.ReportDeviceStatesResponse()

    def _device(self, request: Any) -> str:
        """The id of a known device whose mapper is within its limit."""
        for field in ("deviceName", "deviceNamespace"):
            if not getattr(request, field):
                raise InvalidArgument(f"{field}: is empty")
        device = f"{request.deviceNamespace}/{request.deviceName}"
        protocol = self._mappers.catalogue.protocol(device)
        self._admit(protocol or "")
        if protocol is None:
            raise GRPCError(Status.NOT_FOUND, f"deviceName: this node has no device {device[:512]}")
        return device

    def _admit(self, protocol: str) -> None:
        bucket = self._buckets.get(protocol)
        if bucket is None:
            bucket = self._buckets[protocol] = Bucket(self._clock)
        if not bucket.take():
            text = (
                f"more than {RATE:.0f} calls a second for protocol {protocol!r}: report several twins in one"
            )
            raise GRPCError(Status.RESOURCE_EXHAUSTED, text)

    async def _send(self, device: str, action: str, body: dict[str, Any]) -> None:
        message = {"event_id": "", "timestamp": 0, **body}
        await self._report(topics.of_device(device, action), _encoder.encode(message))


def _twin(index: int, item: Any) -> tuple[str, dict[str, Any]]:
    where = f"reportedDevice.twins[{index}]"
    if not KEY.fullmatch(item.propertyName):
        raise InvalidArgument(f"{where}.propertyName: expected 1 to 128 letters, digits and - _ . , : / @ #")
    halves = dict(_halves(where, item))
    if not halves:
        raise InvalidArgument(f"{where}: neither observedDesired nor reported is set")
    return item.propertyName, halves


def _halves(where: str, item: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """As in the original, metadata (type and time) is left behind: the property keeps the type it has."""
    for field, half in (("observedDesired", "expected"), ("reported", "actual")):
        if item.HasField(field):
            value = getattr(item, field).value
            if problem := value_problem(STRING, value):
                raise InvalidArgument(f"{where}.{field}.value: {problem}")
            yield half, {"value": value}
