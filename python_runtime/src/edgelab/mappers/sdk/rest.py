"""The mapper's REST API (KubeEdge `staging/src/github.com/kubeedge/mapper-framework/pkg/httpserver`).

Answers have the framework's keys, spelt as Go spells them. Errors are plain text: 404 for what is not
there, 400 for a value that is none, 500 when the device does not answer (the framework says 500 to all).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.mappers.sdk.driver import DEVICE_ERRORS, BadValue
from edgelab.mappers.sdk.fleet import Fleet
from edgelab.mappers.sdk.http import Request, Response
from edgelab.mappers.sdk.runner import NotThere, Runner

CORRELATION = "X-Correlation-ID"
ALIVE = "This is v1 API, the server is running normally."


class Rest:
    """Answers requests about the devices of a fleet."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock

    async def handle(self, request: Request) -> Response:  # noqa: PLR0911 - the table of paths
        """One request."""
        match request.path:
            case ("api", "v1", "ping"):
                return self._answer(Message=ALIVE)
            case ("api", "v1", "device", namespace, name, prop):
                return await self._of(namespace, name, lambda runner: self._read(runner, prop))
            case ("api", "v1", "devicemethod", namespace, name):
                return await self._of(namespace, name, self._methods)
            case ("api", "v1", "devicemethod", namespace, name, method, prop, data):
                return await self._of(namespace, name, lambda runner: self._write(runner, method, prop, data))
            case ("api", "v1", "meta", "model", namespace, name):
                return await self._of(namespace, name, self._model)
            case ("api", "v1", "database", namespace, name):
                return _error(503, f"no database client for {namespace}/{name}: values are kept by EdgeCore")
            case _:
                return _error(404, "404 page not found")

    async def _of(self, namespace: str, name: str, work: Callable[[Runner], Awaitable[Response]]) -> Response:
        try:
            return await work(self._fleet.runner(f"{namespace}/{name}"))
        except NotThere as error:
            return _error(404, str(error))
        except BadValue as error:
            return _error(400, str(error))
        except DEVICE_ERRORS as error:
            return _error(500, f"the device does not answer: {error or type(error).__name__}")

    async def _read(self, runner: Runner, prop: str) -> Response:
        reported = await runner.read(prop)
        data = {
            "DeviceName": runner.device.name,
            "PropertyName": prop,
            "Namespace": runner.device.namespace,
            "Value": reported.value,
            "Type": reported.type,
            "TimeStamp": reported.time,
        }
        return self._answer(Data=data)

    async def _write(self, runner: Runner, method: str, prop: str, data: str) -> Response:
        known = {item.name: item.properties for item in runner.device.methods}
        if prop not in known.get(method, ()):
            raise NotThere(f"device {runner.device.id} has no method {method!r} for {prop!r}")
        await runner.write(prop, data)
        return self._answer(Message=f"Write data {data} to device {runner.device.id} successfully.")

    async def _methods(self, runner: Runner) -> Response:
        device = runner.device
        methods = [
            {
                "Name": method.name,
                "Path": f"/api/v1/devicemethod/{device.id}/{method.name}/{{propertyName}}/{{data}}",
                "Parameters": [
                    {"PropertyName": name, "ValueType": device.properties[name].type}
                    for name in method.properties
                    if name in device.properties
                ],
            }
            for method in device.methods
        ]
        return self._answer(Data={"Methods": methods})

    async def _model(self, runner: Runner) -> Response:
        device = runner.device
        properties = [
            {
                "name": prop.name,
                "dataType": prop.type,
                "description": prop.description,
                "accessMode": "ReadWrite" if prop.writable else "ReadOnly",
                "minimum": prop.minimum,
                "maximum": prop.maximum,
                "unit": prop.unit,
            }
            for prop in device.properties.values()
        ]
        return self._answer(name=device.model, namespace=device.namespace, properties=properties)

    def _answer(self, **fields: Any) -> Response:
        time = rfc3339(self._clock.now())
        body = {"apiVersion": "v1", "statusCode": 200, "timeStamp": time, **fields}
        return Response(200, msgspec.json.encode(body))


def _error(status: int, text: str) -> Response:
    return Response(status, f"{text}\n".encode(), "text/plain; charset=utf-8")
