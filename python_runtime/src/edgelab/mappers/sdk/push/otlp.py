"""`pushMethod.otel`: OTLP over HTTP as protobuf, one gauge for each property.

Facts: opentelemetry.io/docs/specs/otlp (OTLP/HTTP), KubeEdge `_template/mapper/data/publish/otel`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from edgelab import __version__
from edgelab.mappers.sdk.push.sample import Sample
from edgelab.mappers.sdk.push.target import DEADLINE, Item, Refused, Target
from edgelab.mappers.sdk.push.web import Answer, Web, check, login_header
from edgelab.objects.pushmethods import Otel
from edgelab.protocol.otlp import metrics_pb2 as pb

SCOPE = "edgelab.mappers"
BOOLEANS = {"true": 1.0, "false": 0.0}


class OtelTarget(Target):
    """One endpoint."""

    def __init__(self, method: Otel) -> None:
        self._url = method.url
        self._headers = {"Content-Type": "application/x-protobuf", **login_header(method.login)}
        self._web = Web(DEADLINE)

    async def send(self, items: Sequence[Item]) -> None:
        """All in one request."""
        body = request([item.sample for item in items]).SerializeToString()
        answer = await self._web.post(self._url, body, self._headers)
        check(answer)
        _check_partial(answer)

    async def close(self) -> None:
        """Hang up."""
        await self._web.close()


def request(samples: Sequence[Sample]) -> pb.ExportMetricsServiceRequest:
    """The message. Raises Refused for a value that is no number."""
    message = pb.ExportMetricsServiceRequest()
    metrics: dict[str, pb.ScopeMetrics] = {}
    gauges: dict[tuple[str, str], pb.Gauge] = {}
    for sample in samples:
        if sample.id not in metrics:
            metrics[sample.id] = _resource(message.resource_metrics.add(), sample.id)
        key = sample.id, sample.prop
        if key not in gauges:
            gauges[key] = metrics[sample.id].metrics.add(name=sample.prop).gauge
        gauges[key].data_points.add(time_unix_nano=sample.nanoseconds, as_double=number(sample))
    return message


def number(sample: Sample) -> float:
    """A gauge's value; true is 1 and false 0. Raises Refused."""
    try:
        found = BOOLEANS.get(sample.value)
        found = float(sample.value) if found is None else found
        if not math.isfinite(found):
            raise ValueError
    except ValueError:
        raise Refused(f"{sample.id}: {sample.prop} is no number: {sample.value[:40]!r}") from None
    return found


def _resource(target: pb.ResourceMetrics, device: str) -> pb.ScopeMetrics:
    for key, value in (("service.name", "edgelab"), ("device.id", device)):
        target.resource.attributes.add(key=key).value.string_value = value
    scope = target.scope_metrics.add()
    scope.scope.name, scope.scope.version = SCOPE, __version__
    return scope


def _check_partial(answer: Answer) -> None:
    """A success that is none for some: they must not be sent again. Raises Refused."""
    try:
        partial = pb.ExportMetricsServiceResponse.FromString(answer.body).partial_success
    except DecodeError:  # a server that answers in words
        return
    if partial.rejected_data_points:
        raise Refused(partial.error_message or "rejected", lost=partial.rejected_data_points)
