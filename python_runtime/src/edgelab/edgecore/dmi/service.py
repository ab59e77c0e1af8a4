"""DeviceManagerService: what mappers ask of EdgeCore (KubeEdge `edge/pkg/devicetwin/dmiserver`).

DeviceTwin takes reports as it takes MQTT clients': results, documents and deltas are published and values
travel to the cloud alike. What is wrong with a request is told by the field that is wrong.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from edgelab.daemon.clock import Clock
from edgelab.daemon.unixgrpc import Call, InvalidArgument
from edgelab.edgecore.dmi.limits import RATE, Bucket
from edgelab.edgecore.dmi.mappers import Mappers, socket_path
from edgelab.edgecore.interfaces import Refused, Twins
from edgelab.protocol.dmi import api_pb2 as pb
from edgelab.protocol.dmi.methods import MANAGER
from edgelab.protocol.twin import KEY, STATES, STRING, Twin, TwinValue, value_problem

log = logging.getLogger(__name__)

STATUSES = {400: Status.INVALID_ARGUMENT, 404: Status.NOT_FOUND}


class DeviceManager:
    """Answers the calls."""

    def __init__(self, mappers: Mappers, twins: Twins, clock: Clock) -> None:
        self._mappers = mappers
        self._twins = twins
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
        twins = [_twin(index, item) for index, item in enumerate(request.reportedDevice.twins)]
        try:
            await self._twins.report(device, dict(twins))
        except Refused as error:
            if error.code != 400:
                raise _refusal("deviceName", error) from None
            await self._one_by_one(device, twins)
        return pb.ReportDeviceStatusResponse()

    async def report_state(self, request: Any) -> Any:
        """ReportDeviceStates: the device's state."""
        device = self._device(request)
        if request.state.lower() not in STATES:
            raise InvalidArgument(f"state: {request.state[:64]!r} is none of {', '.join(sorted(STATES))}")
        try:
            await self._twins.report_state(device, request.state)
        except Refused as error:
            raise _refusal("deviceName" if error.code == 404 else "state", error) from None
        return pb.ReportDeviceStatesResponse()

    async def _one_by_one(self, device: str, twins: list[tuple[str, Twin]]) -> None:
        """Take what can be taken: one sensor's nonsense must not cost the others' values."""
        problem: GRPCError | None = None
        for index, (name, twin) in enumerate(twins):
            try:
                await self._twins.report(device, {name: twin})
            except Refused as error:
                problem = problem or _refusal(f"reportedDevice.twins[{index}]", error)
        if problem is not None:
            raise problem

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


def _refusal(field: str, error: Refused) -> GRPCError:
    return GRPCError(STATUSES.get(error.code, Status.INTERNAL), f"{field}: {error}")


def _twin(index: int, item: Any) -> tuple[str, Twin]:
    where = f"reportedDevice.twins[{index}]"
    if not KEY.fullmatch(item.propertyName):
        text = "expected 1 to 128 letters, digits and - _ . , : / @ #"
        raise InvalidArgument(f"{where}.propertyName: {text}")
    expected, actual = _half(where, item, "observedDesired"), _half(where, item, "reported")
    if expected is None and actual is None:
        raise InvalidArgument(f"{where}: neither observedDesired nor reported is set")
    if expected is not None and not expected.value:
        expected = None  # mappers that were told of no desired value observe an empty one
    return item.propertyName, Twin(expected=expected, actual=actual)


def _half(where: str, item: Any, field: str) -> TwinValue | None:
    """As in the original, metadata (type and time) is left behind: the property keeps the type it has."""
    if not item.HasField(field):
        return None
    value = getattr(item, field).value
    if problem := value_problem(STRING, value):
        raise InvalidArgument(f"{where}.{field}.value: {problem}")
    return TwinValue(value)
