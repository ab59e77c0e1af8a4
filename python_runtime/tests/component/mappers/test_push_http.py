"""Samples over HTTP: to a recorder that stands for any server, and by line protocol to VictoriaMetrics.

No InfluxDB 2, TDengine nor OpenTelemetry collector is here: for them the recorder shows what they would get.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from tests.component.mappers.conftest import free_port
from tests.component.mappers.pushing import TIME, Recorder, pushing, until
from tests.component.twinexporter.conftest import VictoriaMetrics


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    found = Recorder()
    yield found
    found.close()


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    found = VictoriaMetrics(tmp_path / "vm")
    found.start()
    yield found
    found.stop()


def form(recorder: Recorder, **more: Any) -> dict[str, Any]:
    http = {"hostName": "http://127.0.0.1", "port": recorder.port, "requestPath": "/ingest?a=1"}
    return {"http": http | more}


def influx(url: str, **data: Any) -> dict[str, Any]:
    client = {"url": url, "org": "my org", "bucket": "b&c"}
    values = {"measurement": "m", "tag": {"unit": "c"}, "fieldKey": "value", **data}
    return {"dbMethod": {"influxdb2": {"influxdb2ClientConfig": client, "influxdb2DataConfig": values}}}


def tdengine(recorder: Recorder) -> dict[str, Any]:
    config = {"addr": f"127.0.0.1:{recorder.port}", "dbName": "d"}
    return {"dbMethod": {"TDEngine": {"TDEngineClientConfig": config}}}


async def test_a_form_for_each_sample_over_one_connection(recorder: Recorder) -> None:
    async with pushing(form(recorder)) as push:
        push.put("26.5", "27", "28")
        await push.done()
    assert [body.partition(b"&")[0] for body in recorder.bodies()] == [
        b"temperature=26.5",
        b"temperature=27",
        b"temperature=28",
    ]
    first = recorder.requests[0]
    assert len(first.body) == len(b"temperature=26.5&time=2026-01-01 00:00:00")
    assert (first.path, first.headers["content-type"]) == ("/ingest?a=1", "application/x-www-form-urlencoded")
    assert "authorization" not in first.headers
    assert len({request.client for request in recorder.requests}) == 1


async def test_a_login_in_the_url_is_a_header_and_is_not_shown(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "edgelab")
    recorder.answers = [(503, b"later: Basic Ym9iOnMzY3JldCE= is s3cret!")]
    async with pushing(form(recorder, hostName="http://bob:s3cret%21@127.0.0.1")) as push:
        push.put("1")
        await push.done()
    header = "Basic " + base64.b64encode(b"bob:s3cret!").decode()
    assert [request.headers["authorization"] for request in recorder.requests] == [header] * 2
    assert "status 503: later: Basic *** is ***;" in caplog.text
    assert "s3cret" not in caplog.text
    assert "bob" not in caplog.text


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_what_may_be_mended_is_sent_again(recorder: Recorder, status: int) -> None:
    recorder.answers = [(status, b"")]
    async with pushing(form(recorder)) as push:
        push.put("1", "2")
        await push.done()
    assert [body[:13] for body in recorder.bodies()] == [b"temperature=1", b"temperature=1", b"temperature=2"]


@pytest.mark.parametrize("status", [301, 400, 405, 413])
async def test_what_is_refused_is_not_sent_again(
    recorder: Recorder, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    recorder.answers = [(status, b"no way")]
    async with pushing(form(recorder)) as push:
        push.put("1", "2")
        await push.done()
    assert [body[:13] for body in recorder.bodies()] == [b"temperature=1", b"temperature=2"]
    assert f"1 samples refused, the last: status {status}: no way" in caplog.text


async def test_the_timeout_is_the_devices(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    recorder.delay = 1.5
    async with pushing(form(recorder, timeout=1)) as push:
        push.put("1")
        await until(lambda: "no answer in time" in caplog.text, 10)
        recorder.delay = 0
        await push.done()
    assert len(recorder.requests) >= 2


async def test_nobody_there_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    http = {"hostName": "http://127.0.0.1", "port": free_port()}
    async with pushing({"http": http}) as push:
        push.put("1")
        await until(lambda: "samples wait" in caplog.text)
        await asyncio.sleep(2)
        assert push.senders[0].waiting == 1
    assert caplog.text.count(f"push to http http://127.0.0.1:{http['port']}: Connect call failed") == 1


async def test_influx_gets_a_token_and_points(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "edgelab")
    monkeypatch.setenv("TOKEN", "t0ken-word")
    recorder.answers = [(401, b'{"code":"unauthorized"}'), (204, b"")]
    async with pushing(influx(recorder.url), influx(recorder.url, tag={}, fieldKey="f")) as push:
        push.put("26.5", "27")
        push.put("1", prop="other")
        await push.done()
    assert len({request.client for request in recorder.requests}) == 1
    last = recorder.requests[-1]
    assert last.path == "/api/v2/write?org=my+org&bucket=b%26c&precision=ns"
    assert last.headers["authorization"] == "Token t0ken-word"
    assert last.body.splitlines() == [
        b"m,unit=c value=26.5 %d000000" % TIME,
        b"m,unit=c value=27.0 %d000000" % (TIME + 1000),
        b"m f=1.0 %d000000" % (TIME + 2000),
    ]
    assert "t0ken-word" not in caplog.text


async def test_influx_keeps_text_where_kubeedges_mapper_wrote_text(recorder: Recorder) -> None:
    conflict = (
        b'{"code":"unprocessable entity","message":"partial write: field type conflict: input field'
        b' \\"value\\" on measurement \\"m\\" is type float, already exists as type string dropped=1"}'
    )
    recorder.answers = [(422, conflict), (422, conflict), (204, b"")]
    async with pushing(influx(recorder.url)) as push:
        push.put("1", "2")
        await push.done()
        push.put("3")
        await push.done()
    fields = [[line.split()[1] for line in body.splitlines()] for body in recorder.bodies()]
    assert fields == [
        [b"value=1.0", b"value=2.0"],
        [b"value=1.0"],
        [b'value="1"'],
        [b'value="2"'],
        [b'value="3"'],
    ]


async def test_victoriametrics_has_the_points(victoria: VictoriaMetrics) -> None:
    now = int(time.time() - 60) * 1000
    async with pushing(influx(victoria.url, measurement="my m", tag={"u n": "°c, =1"}), since=now) as push:
        push.put("26.5", "-3")
        await push.done()
    (series,) = victoria.series('{__name__="my m_value"}')
    assert series["metric"]["u n"] == "°c, =1"
    assert series["values"] == [26.5, -3]
    assert series["timestamps"] == [now, now + 1000]


async def test_victoriametrics_that_was_away_gets_what_waited(victoria: VictoriaMetrics) -> None:
    async with pushing(influx(victoria.url), since=int(time.time() - 3600) * 1000) as push:
        push.put("0")
        await push.done()
        victoria.stop()
        push.put(*map(str, range(1, 300)))
        await until(lambda: bool(push.senders[0]._complaint))
        victoria.start()
        await push.done()
    (series,) = victoria.series('{__name__="m_value"}')
    assert series["values"] == list(range(300))


async def test_otlp_is_protobuf_on_the_metrics_path(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    partial = ExportMetricsServiceResponse()
    partial.partial_success.rejected_data_points = 1
    partial.partial_success.error_message = "too old"
    recorder.answers = [(200, partial.SerializeToString())]
    async with pushing({"otel": {"endpointURL": recorder.url}}) as push:
        push.put("26.5", "27")
        await push.done()
        push.put("28", "open", "29")
        await push.done()
    assert {request.path for request in recorder.requests} == {"/v1/metrics"}
    assert recorder.requests[0].headers["content-type"] == "application/x-protobuf"
    values = []
    for body in recorder.bodies():
        (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
        (metric,) = resource.scope_metrics[0].metrics
        values.append([point.as_double for point in metric.gauge.data_points])
    assert values == [[26.5, 27.0], [28.0], [29.0]]
    assert "1 samples refused, the last: too old" in caplog.text


async def test_tdengine_gets_statements(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERNAME", "root")
    monkeypatch.setenv("PASSWORD", "taosdata")
    ok = (200, b'{"code":0,"rows":0}')
    recorder.answers = [ok, ok, ok]
    async with pushing(tdengine(recorder), tdengine(recorder)) as push:
        push.put("26.5")
        await push.done()
        push.put("1", prop="other")
        await push.done()
    assert {request.path for request in recorder.requests} == {"/rest/sql/d"}
    header = "Basic " + base64.b64encode(b"root:taosdata").decode()
    assert {request.headers["authorization"] for request in recorder.requests} == {header}
    starts = [body.split(b"(")[0] for body in recorder.bodies()]
    assert starts == [
        b"CREATE STABLE IF NOT EXISTS `default/thermo_1` ",
        b"INSERT INTO `default/thermo_1/temperature` USING `default/thermo_1` TAGS ",
        b"INSERT INTO `default/thermo_1/other` USING `default/thermo_1` TAGS ",
    ]


async def test_tdengine_that_lost_its_tables_gets_them_again(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def error(code: int, text: str) -> tuple[int, bytes]:
        return 200, json.dumps({"code": code, "desc": text}).encode()

    ok = (200, b'{"code":0,"rows":0}')
    recorder.answers = [ok, error(0x2603, "Table does not exist"), ok, ok]
    recorder.answers += [error(0x2600, 'syntax error near "x"'), ok, ok]
    async with pushing(tdengine(recorder)) as push:
        push.put("1")
        await push.done()
        push.put("2")
        push.put("3")
        await push.done()
    kinds = [(body[:6].decode(), body.count(b"VALUES")) for body in recorder.bodies()]
    create, insert = ("CREATE", 0), ("INSERT", 1)
    assert kinds == [create, insert, create, insert, ("INSERT", 2), insert, insert]
    assert "error 0x2603: Table does not exist" in caplog.text
