"""DMI: EdgeCore's socket for registration and reports, the mapper's own for what EdgeCore tells it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.daemon.unixgrpc import Call, CallError, InvalidArgument, Peer, serve
from edgelab.daemon.unixsocket import CannotListen, listen
from edgelab.mappers.sdk.fleet import Fleet
from edgelab.mappers.sdk.link import Offline, Refused, Reported
from edgelab.mappers.sdk.model import Device
from edgelab.mappers.sdk.runner import NotThere
from edgelab.protocol.dmi import api_pb2 as pb
from edgelab.protocol.dmi.methods import MANAGER, MAPPER

log = logging.getLogger("edgelab.mappers.dmi")

DEADLINE = 10.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
FINAL = frozenset({"INVALID_ARGUMENT", "NOT_FOUND"})


class Identity(NamedTuple):
    """What a mapper says of itself."""

    name: str
    protocol: str
    version: str
    api_version: str


class DmiLink:
    """A module, and the fleet's way to EdgeCore.

    Registers at the start and whenever EdgeCore was away, and then has exactly the devices that EdgeCore
    names: what was deleted meanwhile is gone.
    """

    name = "dmi"

    def __init__(self, identity: Identity, own: Path, edgecore: Path, fleet: Fleet, clock: Clock) -> None:
        self._identity = identity
        self._own = own
        self._fleet = fleet
        self._clock = clock
        self._edge = Peer(str(edgecore))
        self._lost = asyncio.Event()
        self._turn = asyncio.Lock()
        """What EdgeCore tells while a registration is under way is taken after its answer."""

    async def run(self) -> None:
        """Listen, register, and register again. Raises Fatal when the own socket cannot be had."""
        try:
            sock = listen(self._own)
        except CannotListen as error:
            raise Fatal(f"grpc_server.socket_path: {error}") from None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(serve(sock, self._calls()), name="dmi/server")
                group.create_task(self._stay_registered(), name="dmi/registration")
        finally:
            self._edge.close()
            self._own.unlink(missing_ok=True)

    async def report(self, device: Device, values: Mapping[str, Reported]) -> None:
        """Send values."""
        request = pb.ReportDeviceStatusRequest(deviceName=device.name, deviceNamespace=device.namespace)
        for name, value in values.items():
            time = str(value.time)
            twin = request.reportedDevice.twins.add(propertyName=name)
            twin.observedDesired.value = value.desired
            twin.observedDesired.metadata.update({"timestamp": time, "type": "string"})
            twin.reported.value = value.value
            twin.reported.metadata.update({"timestamp": time, "type": value.type})
        await self._call("ReportDeviceStatus", request)

    async def report_state(self, device: Device, state: str) -> None:
        """Send the state."""
        request = pb.ReportDeviceStatesRequest(
            deviceName=device.name, deviceNamespace=device.namespace, state=state
        )
        await self._call("ReportDeviceStates", request)

    async def _call(self, method: str, request: Any) -> Any:
        path, _, answer = MANAGER[method]
        try:
            return await self._edge.call(path, request, answer, DEADLINE)
        except Unreachable as error:
            self._lost.set()
            raise Offline(f"EdgeCore is not there: {error}") from None
        except CallError as error:
            if error.status in FINAL:
                raise Refused(f"EdgeCore refuses: {error}") from None
            raise Offline(f"EdgeCore does not take it now: {error}") from None

    async def _stay_registered(self) -> NoReturn:
        waits, complaint = delays(FIRST_WAIT, LONGEST_WAIT), ""
        while True:
            try:
                await self._register()
            except (Offline, Refused) as error:
                log.log(logging.DEBUG if str(error) == complaint else logging.WARNING, "%s", error)
                complaint = str(error)
                await self._clock.sleep(next(waits))
                continue
            waits, complaint = delays(FIRST_WAIT, LONGEST_WAIT), ""
            await self._lost.wait()

    async def _register(self) -> None:
        info = pb.MapperInfo(**self._identity._asdict(), address=str(self._own).encode(), state="ok")
        async with self._turn:
            self._lost.clear()
            request = pb.MapperRegisterRequest(withData=True, mapper=info)
            answer = await self._call("MapperRegister", request)
            self._fleet.replace(answer.modelList, answer.deviceList)
        log.info("registered for protocol %s: %d devices", self._identity.protocol, len(answer.deviceList))

    # What EdgeCore calls

    def _calls(self) -> list[Call]:
        work = {
            "RegisterDevice": self._put_device,
            "UpdateDevice": self._put_device,
            "RemoveDevice": self._remove_device,
            "CreateDeviceModel": self._put_model,
            "UpdateDeviceModel": self._put_model,
            "RemoveDeviceModel": self._remove_model,
            "GetDevice": self._get_device,
        }
        return [Call(*MAPPER[name], self._in_turn(name, work[name])) for name in MAPPER]

    def _in_turn(self, name: str, work: Callable[[Any, Any], None]) -> Callable[[Any], Awaitable[Any]]:
        async def answer(request: Any) -> Any:
            reply = MAPPER[name].answer()
            async with self._turn:
                try:
                    work(request, reply)
                except ValueError as error:
                    raise InvalidArgument(str(error)) from None
            return reply

        return answer

    def _put_device(self, request: Any, reply: Any) -> None:
        device = request.device
        if not device.name:
            raise ValueError("device.name: is empty")
        self._fleet.put(device)
        if isinstance(reply, pb.RegisterDeviceResponse):
            reply.deviceName, reply.deviceNamespace = device.name, device.namespace

    def _remove_device(self, request: Any, _reply: Any) -> None:
        self._fleet.remove(f"{request.deviceNamespace}/{request.deviceName}")

    def _put_model(self, request: Any, reply: Any) -> None:
        self._fleet.put_model(request.model)
        if isinstance(reply, pb.CreateDeviceModelResponse):
            reply.deviceModelName, reply.deviceModelNamespace = request.model.name, request.model.namespace

    def _remove_model(self, request: Any, _reply: Any) -> None:
        self._fleet.models.pop(f"{request.modelNamespace}/{request.modelName}", None)

    def _get_device(self, request: Any, reply: Any) -> None:
        name = f"{request.deviceNamespace}/{request.deviceName}"
        try:
            latest = self._fleet.runner(name).latest
        except NotThere as error:
            raise ValueError(f"deviceName: {error}") from None
        for prop, value in latest.items():
            twin = reply.device.status.twins.add(propertyName=prop)
            twin.observedDesired.value, twin.reported.value = value.desired, value.value
