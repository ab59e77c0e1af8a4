"""DMI's numbers, recorded messages, and devices of the API as mappers get them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from edgelab.protocol.dmi import api_pb2 as pb
from edgelab.protocol.dmi.methods import MANAGER, MAPPER
from edgelab.protocol.dmi.objects import device_message, model_message, push_method
from edgelab.protocol.dmi.values import pack, unpack

VECTORS = Path(__file__).parent / "vectors"
OBJECTS = json.loads((VECTORS / "dmi-objects.json").read_text())
RECORDED = [json.loads(line) for line in (VECTORS / "dmi.jsonl").read_text().splitlines()]

NUMBERS = """
MapperRegisterRequest withData:bool=1 mapper:MapperInfo=2
MapperRegisterResponse modelList:DeviceModel*=1 deviceList:Device*=2
MapperInfo name=1 version=2 api_version=3 protocol=4 address:bytes=5 state=6
Device name=1 spec:DeviceSpec=2 status:DeviceStatus=3 namespace=4
DeviceSpec deviceModelReference=1 protocol:ProtocolConfig=2 properties:DeviceProperty*=3 \
methods:DeviceMethod*=4
DeviceMethod name=1 description=2 propertyNames*=3
DeviceProperty name=1 desired:TwinProperty=2 visitors:VisitorConfig=3 reportCycle:int64=4 \
collectCycle:int64=5 reportToCloud:bool=6 pushMethod:PushMethod=7
ProtocolConfig protocolName=1 configData:CustomizedValue=2
VisitorConfig protocolName=1 configData:CustomizedValue=2
CustomizedValue data:DataEntry*=1
AnomalyDetection data:DataEntry*=1
PushMethod http:PushMethodHTTP=1 mqtt:PushMethodMQTT=2 dbMethod:DBMethod=3 otel:PushMethodOTEL=4 \
anomalyDetection:AnomalyDetection=5
PushMethodHTTP hostname=1 port:int64=2 requestpath=3 timeout:int64=4
PushMethodMQTT address=1 topic=2 qos:int32=3 retained:bool=4
PushMethodOTEL endpointURL=1
DBMethod influxdb2:DBMethodInfluxdb2=1 redis:DBMethodRedis=2 tdengine:DBMethodTDEngine=3 mysql:DBMethodMySQL=4
DBMethodInfluxdb2 influxdb2ClientConfig:Influxdb2ClientConfig=1 influxdb2DataConfig:Influxdb2DataConfig=2
Influxdb2ClientConfig url=1 org=2 bucket=3
Influxdb2DataConfig measurement=1 tag:TagEntry*=2 fieldKey=3
DBMethodRedis redisClientConfig:RedisClientConfig=1
RedisClientConfig addr=1 db:int32=2 poolsize:int32=3 minIdleConns:int32=4
DBMethodTDEngine tdEngineClientConfig:TDEngineClientConfig=1
TDEngineClientConfig addr=1 dbname=2
DBMethodMySQL mysqlClientConfig:MySQLClientConfig=1
MySQLClientConfig addr=1 database=2 userName=3
DeviceStatus twins:Twin*=1 reportToCloud:bool=2 reportCycle:int64=3
Twin propertyName=1 observedDesired:TwinProperty=2 reported:TwinProperty=3
TwinProperty value=1 metadata:MetadataEntry*=2
DeviceModel name=1 spec:DeviceModelSpec=2 namespace=3
DeviceModelSpec properties:ModelProperty*=1 commands:DeviceCommand*=2
ModelProperty name=1 description=2 type=3 accessMode=4 minimum=5 maximum=6 unit=7
DeviceCommand name=1 url=2 method=3 status_code*=4 parameters*=5 response:bytes=6
ReportDeviceStatusRequest deviceName=1 reportedDevice:DeviceStatus=2 deviceNamespace=3
ReportDeviceStatusResponse
ReportDeviceStatesRequest deviceName=1 deviceNamespace=2 state=3
ReportDeviceStatesResponse
RegisterDeviceRequest device:Device=1
RegisterDeviceResponse deviceName=1 deviceNamespace=2
RemoveDeviceRequest deviceName=1 deviceNamespace=2
RemoveDeviceResponse
UpdateDeviceRequest device:Device=1
UpdateDeviceResponse
CreateDeviceModelRequest model:DeviceModel=1
CreateDeviceModelResponse deviceModelName=1 deviceModelNamespace=2
RemoveDeviceModelRequest modelName=1 modelNamespace=2
RemoveDeviceModelResponse
UpdateDeviceModelRequest model:DeviceModel=1
UpdateDeviceModelResponse
GetDeviceRequest deviceName=1 deviceNamespace=2
GetDeviceResponse device:Device=1
"""
SCALARS = {3: "int64", 5: "int32", 8: "bool", 9: "", 12: "bytes"}


def shown(field: Any) -> str:
    kind = field.message_type.name if field.message_type else SCALARS[field.type]
    many = "*" if field.is_repeated else ""
    return f"{field.name}{':' if kind else ''}{kind}{many}={field.number}"


def test_every_message_has_the_published_field_numbers() -> None:
    ours = {
        f"{name} {' '.join(shown(field) for field in message.fields)}".rstrip()
        for name, message in pb.DESCRIPTOR.message_types_by_name.items()
    }
    assert ours == set(NUMBERS.strip().splitlines())


def test_methods_are_called_by_their_published_paths() -> None:
    assert [method.path for method in MANAGER.values()] == [
        f"/v1beta1.DeviceManagerService/{name}"
        for name in ("MapperRegister", "ReportDeviceStatus", "ReportDeviceStates")
    ]
    assert {method.path.removeprefix("/v1beta1.DeviceMapperService/") for method in MAPPER.values()} == {
        *("RegisterDevice", "RemoveDevice", "UpdateDevice", "GetDevice"),
        *("CreateDeviceModel", "RemoveDeviceModel", "UpdateDeviceModel"),
    }


@pytest.mark.parametrize("record", RECORDED, ids=lambda r: str(r["message"]))
def test_recorded_messages_are_read_and_written_alike(record: dict[str, Any]) -> None:
    kind = getattr(pb, record["message"])
    message = kind.FromString(bytes.fromhex(record["hex"]))
    assert MessageToDict(message, preserving_proto_field_name=True) == record["json"]
    assert kind.FromString(message.SerializeToString()) == message


def test_a_device_is_sent_as_the_original_sent_it() -> None:
    requests = [record for record in RECORDED if record["message"] == "RegisterDeviceRequest"]
    original = pb.RegisterDeviceRequest.FromString(bytes.fromhex(requests[0]["hex"])).device
    for item in original.spec.properties:
        item.visitors.configData.SetInParent()  # ours is always there
    assert device_message(OBJECTS["device"], OBJECTS["model"]) == original


def test_a_model_is_sent_as_the_original_sent_it() -> None:
    (request,) = (record for record in RECORDED if record["message"] == "CreateDeviceModelRequest")
    original = pb.CreateDeviceModelRequest.FromString(bytes.fromhex(request["hex"])).model
    assert model_message(OBJECTS["model"]) == original


def test_a_device_without_a_model_and_with_nothing_in_it_is_a_message_all_the_same() -> None:
    message = device_message({"metadata": {"namespace": "default", "name": "d"}}, None)
    assert (message.namespace, message.name, message.spec.protocol.protocolName) == ("default", "d", "")


def test_values_come_back_as_they_were_meant() -> None:
    values = {"on": True, "text": "é", "tenth": 0.1, "whole": 7, "negative": -7.25, "large": 1e30}
    message = pb.CustomizedValue()
    pack(message.data, values, "x")
    assert unpack(message.data) == values
    assert isinstance(unpack(message.data)["whole"], int)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"protocol": {"configData": {"deep": {"a": 1}}}}, r"spec\.protocol\.configData\.deep: an object"),
        ({"protocol": {"configData": {"n": 1e300}}}, r"spec\.protocol\.configData\.n: .*32 bits"),
        ({"protocol": []}, "protocol: expected an object"),
        (
            {"properties": [{"name": "a"}, {"name": "b", "visitors": {"configData": {"list": [1]}}}]},
            r"spec\.properties\[1\]\.visitors\.configData\.list: a list",
        ),
        ({"properties": [{"collectCycle": "1s"}]}, r"spec\.properties\[0\]\.collectCycle: .*whole number"),
        (
            {"properties": [{"desired": {"value": 1}}]},
            r"spec\.properties\[0\]\.desired\.value: expected text",
        ),
        ({"properties": [{"pushMethod": {"http": {"port": "x"}}}]}, r"spec\.properties\[0\]\.pushMethod: "),
        ({"properties": "many"}, r"spec\.properties: expected a list"),
    ],
)
def test_what_cannot_be_sent_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        device_message({"metadata": {"name": "d"}, "spec": change}, None)


def test_a_value_that_is_none_is_named_by_its_key() -> None:
    message = pb.CustomizedValue()
    message.data["odd"].Pack(pb.MapperInfo())
    with pytest.raises(ValueError, match=r"odd: .*MapperInfo is no plain value"):
        unpack(message.data)


def test_a_push_method_arrives_as_it_was_written() -> None:
    push = {
        "http": {"hostName": "http://h", "port": 8080, "requestPath": "/x", "timeout": 3},
        "mqtt": {"address": "tcp://h", "topic": "t", "qos": 1, "retained": True},
        "otel": {"endpointURL": "http://o"},
        "anomalyDetection": {"threshold": 3},
        "dbMethod": {
            "influxdb2": {
                "influxdb2ClientConfig": {"url": "http://i", "org": "o", "bucket": "b"},
                "influxdb2DataConfig": {"measurement": "m", "tag": {"dbName": "hostName"}, "fieldKey": "f"},
            },
            "redis": {"redisClientConfig": {"addr": "r:1", "db": 1, "poolsize": 30, "minIdleConns": 3}},
            "TDEngine": {"TDEngineClientConfig": {"addr": "t:1", "dbName": "d"}},
            "mysql": {"mysqlClientConfig": {"addr": "m:1", "database": "d", "userName": "u"}},
        },
    }
    document = {"metadata": {"name": "d"}, "spec": {"properties": [{"name": "p", "pushMethod": push}]}}
    message = device_message(document, None).spec.properties[0].pushMethod
    assert push_method(message) == push | {"anomalyDetection": {}}
