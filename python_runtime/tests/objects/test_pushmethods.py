"""What a pushMethod becomes, and how its faults are named."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.objects.pushmethods import Http, Influxdb2, Login, Mqtt, Mysql, Otel, Redis, TDEngine, parse

HTTP = {"hostName": "http://10.0.0.5", "port": 8080, "requestPath": "/ingest", "timeout": 3}
MQTT = {"address": "tcp://127.0.0.1:1883", "topic": "factory/temp", "qos": 1, "retained": True}
INFLUX = {
    "influxdb2ClientConfig": {"url": "http://127.0.0.1:8086/", "org": "o", "bucket": "b"},
    "influxdb2DataConfig": {
        "measurement": "m",
        "tag": {"unit": "c", "a": "1", "none": ""},
        "fieldKey": "value",
    },
}
DATABASES = {
    "influxdb2": INFLUX,
    "redis": {"redisClientConfig": {"addr": "127.0.0.1:6379", "db": 2, "poolsize": 30, "minIdleConns": 30}},
    "TDEngine": {"TDEngineClientConfig": {"addr": "tdengine", "dbName": "d"}},
    "mysql": {"mysqlClientConfig": {"addr": "[::1]:3307", "database": "d", "userName": "root"}},
}


def test_every_method_is_read() -> None:
    assert parse({"http": HTTP}).methods == (Http("http://10.0.0.5:8080/ingest", 3),)
    assert parse({"mqtt": MQTT}).methods == (Mqtt("127.0.0.1", 1883, "factory/temp", 1, True),)
    assert parse({"otel": {"endpointURL": "http://o:4318"}}).methods == (Otel("http://o:4318/v1/metrics"),)
    found = parse({"dbMethod": DATABASES})
    assert found.methods == (
        Influxdb2("http://127.0.0.1:8086", "o", "b", "m", (("a", "1"), ("unit", "c")), "value"),
        Redis("127.0.0.1", 6379, 2),
        TDEngine("tdengine", 6041, "d"),
        Mysql("::1", 3307, "d", "root"),
    )
    assert (found.faults, found.unserved) == ((), ())


def test_the_first_way_is_taken_and_databases_come_on_top() -> None:
    found = parse(
        {"otel": {"endpointURL": "http://o"}, "mqtt": MQTT, "dbMethod": {"redis": DATABASES["redis"]}}
    )
    assert [method.name for method in found.methods] == ["mqtt", "dbMethod.redis"]
    assert found.faults == ("pushMethod.otel: is not used, because mqtt is set",)


def test_anomaly_detection_is_right_but_not_served() -> None:
    found = parse({"anomalyDetection": {}, "dbMethod": {"redis": DATABASES["redis"]}})
    assert len(found.methods) == 1
    assert (found.faults, found.unserved) == ((), ("pushMethod.anomalyDetection: is not supported",))


def test_a_timeout_is_seconds_and_has_a_default() -> None:
    (method,) = parse({"http": HTTP | {"timeout": 0}}).methods
    assert isinstance(method, Http)
    assert method.timeout == 10


def test_logins_are_kept_out_of_what_is_shown() -> None:
    (web,) = parse({"http": HTTP | {"hostName": "https://bob:s3cret@h"}}).methods
    (broker,) = parse({"mqtt": MQTT | {"address": "mqtt://bob:s3cret@h"}}).methods
    for method in (web, broker):
        assert isinstance(method, Http | Mqtt)
        assert method.login == Login("bob", "s3cret")
        assert "s3cret" not in f"{method!r} {method.place} {method.login!r} {method.target!r}"
        assert "bob" not in f"{method!r} {method.place}"


def test_properties_share_what_is_one_place() -> None:
    one, other = (parse({"mqtt": MQTT | {"topic": topic, "qos": 0}}).methods[0] for topic in "ab")
    assert one.target == other.target
    one, other = (parse({"mqtt": MQTT | {"address": f"tcp://{who}@h"}}).methods[0] for who in "ab")
    assert one.target != other.target


def changed(method: str, **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"http": HTTP, "mqtt": MQTT, "otel": {"endpointURL": "http://o"}}[method]
    return {method: base | changes}


def database(name: str, part: str, **changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = DATABASES[name]
    return {"dbMethod": {name: config | {part: config[part] | changes}}}


@pytest.mark.parametrize(
    ("push", "fault"),
    [
        ({}, "pushMethod: names no method"),
        ({"dbMethod": {}}, "pushMethod: names no method"),
        ({"dbMethod": 1}, "pushMethod.dbMethod: expected an object"),
        ({"http": "x"}, "pushMethod.http: expected an object"),
        (changed("http", hostName=""), "pushMethod.http.hostName: is empty: expected http://host"),
        (changed("http", hostName="10.0.0.5"), "pushMethod.http.hostName: expected http://host"),
        (changed("http", hostName="ftp://h"), "pushMethod.http.hostName: expected http://host"),
        (changed("http", hostName="http://h/x"), "pushMethod.http.hostName: expected http://host"),
        (changed("http", hostName="http://h\n"), "pushMethod.http.hostName: has a control character"),
        (changed("http", hostName="http://[1.2]"), "pushMethod.http.hostName: [1.2] is no address of IPv6"),
        (changed("http", hostName="http://\u2100"), "pushMethod.http.hostName: expected http://host"),
        (changed("http", port=0), "pushMethod.http.port: 0 is no port from 1 to 65535"),
        (changed("http", port=70000), "pushMethod.http.port: 70000 is no port"),
        (changed("http", port="80"), "pushMethod.http.port: expected a whole number"),
        (changed("http", requestPath="x"), "pushMethod.http.requestPath: expected a path that begins with /"),
        (changed("http", timeout=-1), "pushMethod.http.timeout: -1 is not from 0 to 3600"),
        (changed("mqtt", address=""), "pushMethod.mqtt.address: is empty: expected tcp://host:port"),
        (changed("mqtt", address="http://h"), "pushMethod.mqtt.address: expected tcp://host:port"),
        (changed("mqtt", address="tcp://h:99999"), "pushMethod.mqtt.address: 99999 is no port"),
        (changed("mqtt", topic=""), "pushMethod.mqtt.topic: is empty"),
        (changed("mqtt", topic="a/#"), "pushMethod.mqtt.topic: + and # cannot be"),
        (changed("mqtt", topic="x" * 70_000), "pushMethod.mqtt.topic: is longer than 65535 bytes"),
        (changed("mqtt", qos=3), "pushMethod.mqtt.qos: 3 is not from 0 to 2"),
        (changed("otel", endpointURL="o:4318"), "pushMethod.otel.endpointURL: expected http://host:4318"),
        (
            database("influxdb2", "influxdb2ClientConfig", url="x"),
            "pushMethod.dbMethod.influxdb2.influxdb2ClientConfig.url: expected http://host:8086",
        ),
        (
            database("influxdb2", "influxdb2ClientConfig", bucket=""),
            "pushMethod.dbMethod.influxdb2.influxdb2ClientConfig.bucket: is empty",
        ),
        (
            database("influxdb2", "influxdb2DataConfig", fieldKey=""),
            "pushMethod.dbMethod.influxdb2.influxdb2DataConfig.fieldKey: is empty",
        ),
        (
            database("influxdb2", "influxdb2DataConfig", tag={"a\nb": "x"}),
            "pushMethod.dbMethod.influxdb2.influxdb2DataConfig.tag.key: has a control character",
        ),
        (
            database("redis", "redisClientConfig", addr="[1.2]:6379"),
            "pushMethod.dbMethod.redis.redisClientConfig.addr: expected host:port",
        ),
        (
            database("redis", "redisClientConfig", addr="h:x"),
            "pushMethod.dbMethod.redis.redisClientConfig.addr: expected host:port",
        ),
        (
            database("redis", "redisClientConfig", db=-1),
            "pushMethod.dbMethod.redis.redisClientConfig.db: -1 is not from 0",
        ),
        (
            database("TDEngine", "TDEngineClientConfig", dbName=""),
            "pushMethod.dbMethod.TDEngine.TDEngineClientConfig.dbName: is empty",
        ),
        (
            database("mysql", "mysqlClientConfig", database=""),
            "pushMethod.dbMethod.mysql.mysqlClientConfig.database: is empty",
        ),
        ({"dbMethod": {"mysql": {}}}, "pushMethod.dbMethod.mysql.mysqlClientConfig.addr: is empty"),
    ],
)
def test_faults_name_their_field(push: dict[str, Any], fault: str) -> None:
    found = parse(push)
    assert found.methods == ()
    assert len(found.faults) == 1
    assert found.faults[0].startswith(fault)


@pytest.mark.parametrize("address", ["ssl://h:8883", "wss://h", "mqtts://h"])
def test_what_others_mappers_can_is_no_fault(address: str) -> None:
    found = parse(changed("mqtt", address=address))
    assert (found.methods, found.faults) == ((), ())
    assert found.unserved[0].startswith("pushMethod.mqtt.address: ")


def test_a_fault_costs_its_own_method_and_repeats_no_password() -> None:
    found = parse(
        changed("mqtt", address="tcp://bob:s3cret@h:0") | {"dbMethod": {"redis": DATABASES["redis"]}}
    )
    assert [method.name for method in found.methods] == ["dbMethod.redis"]
    assert "s3cret" not in found.faults[0]
