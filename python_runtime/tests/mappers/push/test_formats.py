"""What leaves, to the byte (KubeEdge `mapper-framework/_template/mapper/data`)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from tests.mappers.push.parts import TIME, method, sample

from edgelab.mappers.sdk.push import http, influx, mqtt, mysql, names, otlp, redis, tdengine
from edgelab.mappers.sdk.push.target import Refused

HOSTILE = "a`b'c\"d\\e%s;DROP TABLE x;--"


@pytest.fixture(params=["UTC", "Asia/Tokyo"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield {"UTC": "2026-01-01 00:00:00", "Asia/Tokyo": "2026-01-01 09:00:00"}[request.param]
    monkeypatch.undo()
    time.tzset()


def test_http_is_an_unescaped_form_in_local_time(zone: str) -> None:
    assert http.form(sample("a b&c=ü")) == f"temperature=a b&c=ü&time={zone}".encode()


def test_mqtt_is_a_line_of_text_in_local_time(zone: str) -> None:
    assert mqtt.text("factory/temp", sample()) == f"time is {zone}  factory/temp: 26.5".encode()


def test_redis_has_gos_names_in_gos_order_and_gos_escapes() -> None:
    assert redis.key(sample(namespace="other")) == "thermo-1"
    assert sample('<&>"\u2028').data_model() == (
        b'{"DeviceName":"thermo-1","PropertyName":"temperature","Namespace":"default",'
        b'"Value":"\\u003c\\u0026\\u003e\\"\\u2028","Type":"float","TimeStamp":1767225600123}'
    )


INFLUX = {
    "influxdb2ClientConfig": {"url": "http://h:8086", "org": "o", "bucket": "b"},
    "influxdb2DataConfig": {"measurement": "m, 1", "tag": {"u n": "a=b", "k": "v,"}, "fieldKey": "va lue"},
}


@pytest.mark.parametrize(
    ("value", "type", "field"),
    [
        ("26.5", "float", "26.5"),
        ("3", "int", "3.0"),
        ("true", "boolean", "true"),
        ('say "\\"', "string", r'"say \"\\\""'),
        ("none", "double", '"none"'),
        ("12", "string", '"12"'),
    ],
)
def test_influx_is_line_protocol_with_types(value: str, type: str, field: str) -> None:
    point = influx.line(method({"dbMethod": {"influxdb2": INFLUX}}), sample(value, type))
    assert point == rf"m\,\ 1,k=v\,,u\ n=a\=b va\ lue={field} 1767225600123000000"


def test_influx_writes_text_where_text_was_before() -> None:
    point = influx.line(method({"dbMethod": {"influxdb2": INFLUX}}), sample(), as_text=True)
    assert point.endswith(rf'va\ lue="26.5" {TIME}000000')


def test_mysql_quotes_names_and_keeps_kubeedges_columns() -> None:
    assert mysql.create("default/d/p") == (
        "CREATE TABLE IF NOT EXISTS `default/d/p`"
        " (id INT AUTO_INCREMENT PRIMARY KEY, ts DATETIME NOT NULL, field TEXT) CHARACTER SET utf8mb4"
    )
    assert names.mysql_table(sample()) == "default/thermo-1/temperature"
    assert names.mysql_quoted(HOSTILE) == "`a``b'c\"d\\e%%s;DROP TABLE x;--`"


@pytest.mark.parametrize(
    ("table", "told"),
    [("x" * 64, ""), ("x" * 65, "65 characters"), ("x ", "no table of the name"), ("\U0001f321", "no table")],
)
def test_names_that_mysql_cannot_have_are_told(table: str, told: str) -> None:
    found = names.mysql_fault(table)
    assert told in found
    assert bool(told) == bool(found)


def test_tdengine_statements() -> None:
    assert tdengine.create(tdengine.super_table(sample())) == (
        "CREATE STABLE IF NOT EXISTS `default/thermo_1` (ts timestamp, deviceid binary(320), "
        "propertyname binary(256), data binary(4096), type binary(64)) TAGS (location binary(256))"
    )
    rows = tdengine.insert([sample("it's \\"), sample(prop="a-b")])
    assert rows == (
        r"INSERT INTO `default/thermo_1/temperature` USING `default/thermo_1` TAGS ('temperature')"
        r" VALUES ('2026-01-01T00:00:00.123Z', 'default/thermo-1', 'temperature', 'it\'s \\', 'float')"
        r" `default/thermo_1/a_b` USING `default/thermo_1` TAGS ('a_b')"
        r" VALUES ('2026-01-01T00:00:00.123Z', 'default/thermo-1', 'a-b', '26.5', 'float')"
    )


def test_tdengine_names_have_no_strange_characters_and_stay_distinct() -> None:
    found = {
        names.tdengine_name(text) for text in (HOSTILE, HOSTILE + "'", "a.b", "a b", "x" * 300, "x" * 301)
    }
    assert len(found) == 6
    assert all(re.fullmatch(r"[A-Za-z0-9_/]{1,192}", name) for name in found)


def test_otlp_is_read_by_opentelemetrys_own_messages() -> None:
    samples = [sample(), sample("27"), sample("true", "boolean", prop="on"), sample("-1", device="other")]
    found = ExportMetricsServiceRequest.FromString(otlp.request(samples).SerializeToString())
    first, second = found.resource_metrics
    attributes = {item.key: item.value.string_value for item in first.resource.attributes}
    assert attributes == {"service.name": "edgelab", "device.id": "default/thermo-1"}
    assert [item.value.string_value for item in second.resource.attributes][1] == "default/other"
    temperature, on = first.scope_metrics[0].metrics
    assert (temperature.name, on.name, temperature.WhichOneof("data")) == ("temperature", "on", "gauge")
    assert [point.as_double for point in temperature.gauge.data_points] == [26.5, 27.0]
    assert temperature.gauge.data_points[0].time_unix_nano == TIME * 1_000_000
    assert on.gauge.data_points[0].as_double == 1.0
    again = found.SerializeToString()
    found.DiscardUnknownFields()
    assert found.SerializeToString() == again


@pytest.mark.parametrize("value", ["open", "", "nan", "inf"])
def test_otlp_takes_numbers_alone(value: str) -> None:
    with pytest.raises(Refused, match=r"default/thermo-1: temperature is no number"):
        otlp.request([sample(value)])
