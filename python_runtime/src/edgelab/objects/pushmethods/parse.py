"""A `pushMethod` as the API has it, into methods. Each fault names its field and costs its own method only.

Fields: KubeEdge `device_instance_types.go` (v1beta1); semantics: `mapper-framework/pkg/util/parse/grpc.go`.
Of `http`, `mqtt`, `otel` and `anomalyDetection` the first one that is set is taken; `dbMethod` comes on top.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from edgelab.objects.deviceversions.fields import LayoutError, Obj, mapping
from edgelab.objects.pushmethods.fields import address, between, needed, port, url
from edgelab.objects.pushmethods.methods import (
    Http,
    Influxdb2,
    Method,
    Mqtt,
    Mysql,
    Otel,
    Redis,
    TDEngine,
)

DEFAULT_TIMEOUT = 10
"""Seconds. KubeEdge names no unit for `timeout` and does not use it; where it counts whole numbers of some
other `timeout` (`device_instance_types.go` v1alpha2, OPC UA), they are seconds."""
LONGEST_TIMEOUT = 3600
HTTP = ("http", "https")
MQTT = ("tcp", "mqtt")
MQTT_ELSEWHERE = ("ssl", "tls", "tcps", "mqtts", "mqtt+ssl", "ws", "wss")
"""Schemes that KubeEdge's mappers know and ours do not."""
LONGEST_TOPIC = 65_535
OTLP_PATH = "/v1/metrics"


class Push(NamedTuple):
    """What is to be sent; `faults` are wrong, `unserved` is right but not done by our mappers."""

    methods: tuple[Method, ...] = ()
    faults: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()


NOTHING = Push()


class _Unserved(Exception):
    """A method that others know."""


def parse(push: Obj, where: str = "pushMethod") -> Push:
    """Read one; texts begin with `where`."""
    methods: list[Method] = []
    faults: list[str] = []
    unserved: list[str] = []
    try:
        databases = mapping(push, "dbMethod", where)
        chosen = [(name, push) for name in (*_PLAIN, "anomalyDetection") if push.get(name) is not None]
        wanted = [(name, obj, where) for name, obj in chosen[:1] if name in _PLAIN]
        wanted += [
            (name, databases, f"{where}.dbMethod") for name in _DATABASES if databases.get(name) is not None
        ]
    except LayoutError as error:
        return Push(faults=(str(error),))
    faults += [f"{where}.{name}: is not used, because {chosen[0][0]} is set" for name, _ in chosen[1:]]
    if chosen and chosen[0][0] == "anomalyDetection":
        unserved.append(f"{where}.anomalyDetection: is not supported")
    if not chosen and not wanted:
        faults.append(f"{where}: names no method")
    for name, parent, path in wanted:
        try:
            methods.append((_PLAIN | _DATABASES)[name](mapping(parent, name, path), f"{path}.{name}"))
        except LayoutError as error:
            faults.append(str(error))
        except _Unserved as error:
            unserved.append(str(error))
    return Push(tuple(methods), tuple(faults), tuple(unserved))


def _http(obj: Obj, where: str) -> Method:
    base = url(obj, "hostName", where, "http://host or https://host", HTTP)
    if base.path or base.query or base.port:
        raise LayoutError(
            f"{where}.hostName: expected http://host or https://host without port and path, which have fields"
        )
    base = base._replace(port=port(obj, "port", where))
    path = needed(obj, "requestPath", where) if obj.get("requestPath") else ""
    if (path and not path.startswith("/")) or " " in path or "#" in path:
        raise LayoutError(
            f"{where}.requestPath: expected a path that begins with / and has no space and no #"
        )
    timeout = between(obj, "timeout", where, 0, LONGEST_TIMEOUT) or DEFAULT_TIMEOUT
    return Http(base.plain(path), timeout, base.login)


def _mqtt(obj: Obj, where: str) -> Method:
    given = needed(obj, "address", where, "is empty: expected tcp://host:port")
    full = {"address": given if "://" in given else f"tcp://{given}"}
    parts = url(full, "address", where, "tcp://host:port", MQTT + MQTT_ELSEWHERE)
    topic = needed(obj, "topic", where)
    if "+" in topic or "#" in topic:
        raise LayoutError(f"{where}.topic: + and # cannot be in the topic of a message")
    if len(topic.encode()) > LONGEST_TOPIC:
        raise LayoutError(f"{where}.topic: is longer than {LONGEST_TOPIC} bytes")
    qos = between(obj, "qos", where, 0, 2)
    if parts.scheme in MQTT_ELSEWHERE:
        raise _Unserved(f"{where}.address: {parts.scheme}:// is not supported, only tcp://host:port")
    host = parts.host.strip("[]")
    return Mqtt(host, parts.port or 1883, topic, qos, obj.get("retained") is True, parts.login)


def _otel(obj: Obj, where: str) -> Method:
    parts = url(obj, "endpointURL", where, f"http://host:4318{OTLP_PATH}", HTTP)
    return Otel(parts.plain(parts.path if parts.path.strip("/") else OTLP_PATH), parts.login)


def _influxdb2(obj: Obj, where: str) -> Method:
    client, data = mapping(obj, "influxdb2ClientConfig", where), mapping(obj, "influxdb2DataConfig", where)
    at, of = f"{where}.influxdb2ClientConfig", f"{where}.influxdb2DataConfig"
    parts = url(client, "url", at, "http://host:8086", HTTP)._replace(query="")
    tags = mapping(data, "tag", of)
    return Influxdb2(
        parts.plain(parts.path.rstrip("/")),
        needed(client, "org", at) if client.get("org") else "",
        needed(client, "bucket", at),
        needed(data, "measurement", of),
        tuple((_tag(key, f"{of}.tag"), needed(tags, key, f"{of}.tag")) for key in sorted(tags) if tags[key]),
        needed(data, "fieldKey", of),
        parts.login,
    )


def _tag(key: str, where: str) -> str:
    return needed({"key": key}, "key", where)


def _redis(obj: Obj, where: str) -> Method:
    config, at = mapping(obj, "redisClientConfig", where), f"{where}.redisClientConfig"
    return Redis(*address(config, "addr", at, 6379), between(config, "db", at, 0, 2**31 - 1))


def _tdengine(obj: Obj, where: str) -> Method:
    config, at = mapping(obj, "TDEngineClientConfig", where), f"{where}.TDEngineClientConfig"
    return TDEngine(*address(config, "addr", at, 6041), needed(config, "dbName", at))


def _mysql(obj: Obj, where: str) -> Method:
    config, at = mapping(obj, "mysqlClientConfig", where), f"{where}.mysqlClientConfig"
    host, number = address(config, "addr", at, 3306)
    return Mysql(host, number, needed(config, "database", at), needed(config, "userName", at))


_PLAIN: dict[str, Callable[[Obj, str], Method]] = {"http": _http, "mqtt": _mqtt, "otel": _otel}
_DATABASES: dict[str, Callable[[Obj, str], Method]] = {
    "influxdb2": _influxdb2,
    "redis": _redis,
    "TDEngine": _tdengine,
    "mysql": _mysql,
}
