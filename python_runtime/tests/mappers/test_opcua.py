"""The OPC UA driver against asyncua's server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.user_managers import UserManager
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.mappers.modbus_parts import free_port
from tests.mappers.parts import FakeLink

from edgelab.daemon.clock import SYSTEM
from edgelab.mappers.opcua.config import endpoint
from edgelab.mappers.opcua.driver import OpcuaDevice
from edgelab.mappers.opcua.session import Session
from edgelab.mappers.sdk import BadValue, Device, Property
from edgelab.mappers.sdk.fleet import Fleet
from edgelab.mappers.sdk.shared import Shared
from edgelab.protocol.dmi.objects import device_message, model_message

MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5)
NODES = {
    "Int16": (-5, ua.VariantType.Int16),
    "UInt32": (7, ua.VariantType.UInt32),
    "Double": (21.5, ua.VariantType.Double),
    "Float": (0.5, ua.VariantType.Float),
    "Boolean": (True, ua.VariantType.Boolean),
    "String": ("on", ua.VariantType.String),
    "ByteString": (b"\1\2", ua.VariantType.ByteString),
    "DateTime": (MOMENT, ua.VariantType.DateTime),
}


class Users(UserManager):
    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> Any:
        good = username == "operator" and password == "s3cret"
        return User(role=UserRole.User) if good else None


@contextlib.asynccontextmanager
async def opcua_server(
    port: int, users: UserManager | None = None, secure: Path | None = None
) -> AsyncIterator[Server]:
    server = Server(user_manager=users)
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    if secure:
        await server.set_application_uri("urn:plant")
        await certificate(secure, "server", "urn:plant", ExtendedKeyUsageOID.SERVER_AUTH)
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        await server.load_certificate(str(secure / "server.der"))
        await server.load_private_key(str(secure / "server.pem"))
        server.set_certificate_validator(
            CertificateValidator(options=CertificateValidatorOptions.EXT_VALIDATION)
        )
    else:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace("urn:test")
    boiler = await server.nodes.objects.add_object(ua.NodeId("Boiler", space), f"{space}:Boiler")
    for name, (value, kind) in NODES.items():
        node = await boiler.add_variable(ua.NodeId(name, space), f"{space}:{name}", value, kind)
        await node.set_writable()
    await boiler.add_variable(ua.NodeId("Fixed", space), f"{space}:Fixed", 1, ua.VariantType.Int32)
    async with server:
        yield server


async def certificate(directory: Path, name: str, uri: str, use: Any) -> None:
    key, cert = directory / f"{name}.pem", directory / f"{name}.der"
    await setup_self_signed_certificate(key, cert, uri, "localhost", [use], {"commonName": name})


def prop(name: str, kind: str, node: str = "", **more: Any) -> Property:
    return Property(name, kind, visitor={"nodeID": f"ns=2;s={node or name}", **more})


def device(
    port: int, *props: Property, sessions: Shared[Session] | None = None, **config: Any
) -> OpcuaDevice:
    address = {"url": f"opc.tcp://127.0.0.1:{port}/plant", "timeout": 2}
    found = {key: value for key, value in {**address, **config}.items() if value is not None}
    described = Device("default", "d", config=found, properties={item.name: item for item in props})
    return OpcuaDevice(described, sessions or Shared())


READINGS = [
    (prop("Int16", "int"), -5),
    (prop("UInt32", "string"), "7"),
    (prop("Double", "double"), 21.5),
    (prop("Double", "int"), 22),
    (prop("Float", "float"), 0.5),
    (prop("Boolean", "boolean"), True),
    (prop("Boolean", "int"), 1),
    (prop("String", "string"), "on"),
    (prop("ByteString", "bytes"), b"\1\2"),
    (prop("DateTime", "string"), "2026-01-02T03:04:05Z"),
    (Property("p", "int", visitor={"NodeId": "ns=2,s=UInt32"}), 7),
    (Property("p", "double", visitor={"browseName": "2:Boiler/2:Double"}), 21.5),
]
WRITINGS = [
    ("Int16", "int", -7, -7),
    ("Int16", "string", "12", 12),
    ("UInt32", "int", 4294967295, 4294967295),
    ("UInt32", "double", 3.0, 3),
    ("Double", "int", 3, 3.0),
    ("Float", "float", 0.25, 0.25),
    ("Boolean", "boolean", False, False),
    ("Boolean", "string", "false", False),
    ("String", "string", "off", "off"),
    ("String", "int", 4, "4"),
    ("ByteString", "bytes", b"\3", b"\3"),
    ("DateTime", "string", "2026-02-03T04:05:06+01:00", dt.datetime(2026, 2, 3, 3, 5, 6)),
]
REFUSED = [
    ("Int16", "int", 40000, "Int16 takes whole numbers from -32768 to 32767"),
    ("UInt32", "double", 1.5, "UInt32 takes whole numbers"),
    ("Boolean", "string", "maybe", "the node takes Boolean"),
    ("Float", "double", 1e300, "does not fit into Float"),
    ("Fixed", "int", 2, "the server refuses it"),
]


async def test_reads_writes_and_refuses() -> None:
    port = free_port()
    async with opcua_server(port) as server:
        for item, value in READINGS:
            driver = device(port, item)
            await driver.open()
            found = await driver.read(item)
            assert (found, type(found)) == (value, type(value)), item
            await driver.close()
        for node, kind, value, arrived in WRITINGS:
            item = prop(node, kind)
            driver = device(port, item)
            await driver.open()
            await driver.write(item, value)
            there = await server.get_node(f"ns=2;s={node}").read_data_value()
            assert there.Value.VariantType == NODES[node][1]
            found = there.Value.Value
            assert (found.replace(tzinfo=None) if isinstance(found, dt.datetime) else found) == arrived, node
            await driver.close()
        for node, kind, value, text in REFUSED:
            item = prop(node, kind)
            driver = device(port, item)
            await driver.open()
            with pytest.raises(BadValue, match=text):
                await driver.write(item, value)
            await driver.close()


async def test_several_properties_come_with_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    port, asked = free_port(), []
    whole = Session.read

    async def counted(self: Session, nodes: Any) -> list[Any]:
        asked.append(len(nodes))
        return await whole(self, nodes)

    monkeypatch.setattr(Session, "read", counted)
    items = [prop("Int16", "int"), prop("Double", "double"), prop("String", "int")]
    async with opcua_server(port):
        driver = device(port, *items)
        await driver.open()
        assert [await driver.read(item) for item in items[:2]] == [-5, 21.5]
        assert asked == [3]
        with pytest.raises(ValueError, match="expected a whole number"):
            await driver.read(items[2])
        await driver.close()


@pytest.mark.parametrize(
    ("config", "visitor", "text"),
    [
        ({"url": None}, {}, "configData.url: is missing"),
        ({"url": "http://h:1"}, {}, "configData.url: expected opc.tcp://"),
        ({"url": "opc.tcp://u:secret@h:1"}, {}, "configData.url: expected opc.tcp://"),
        ({"timeout": "soon"}, {}, "configData.timeout: 'soon': expected a number"),
        ({"securityPolicy": "Basic512"}, {}, "configData.securityPolicy: 'Basic512': expected one of None"),
        ({"securityMode": "Sign"}, {}, "configData.securityMode: Sign does not go with securityPolicy None"),
        ({"securityPolicy": "Basic256Sha256"}, {}, "configData.certificate: is missing"),
        (
            {"securityPolicy": "Basic256Sha256", "certificate": "/nowhere.der"},
            {},
            "configData.certificate: /nowhere.der: there is no such file",
        ),
        ({"passwordFile": "../shadow"}, {}, "configData.passwordFile: '../shadow': expected the name"),
        (
            {"passwordEnv": "HOME"},
            {},
            "configData.passwordEnv: 'HOME': expected a name that begins with OPCUA_",
        ),
        ({"passwordEnv": "OPCUA_NO"}, {}, "configData.passwordEnv: variable OPCUA_NO is not set"),
        ({}, {"nodeID": ""}, "property Int16: configData.nodeID: is missing"),
    ],
)
async def test_wrong_fields_are_named(config: dict[str, Any], visitor: dict[str, Any], text: str) -> None:
    driver = device(1, prop("Int16", "int", **visitor), **config)
    with pytest.raises(ValueError, match=text) as told:
        await driver.open()
    assert "secret" not in str(told.value)


async def test_devices_of_an_endpoint_share_a_session_and_it_returns() -> None:
    port, sessions = free_port(), Shared[Session]()
    item = prop("Int16", "int")
    first, second = (device(port, item, sessions=sessions) for _ in range(2))
    with pytest.raises(OSError, match=r"."):
        await first.open()
    async with opcua_server(port) as server:
        await first.open()
        await second.open()
        assert len(server.bserver.clients) == 1
        await first.close()
        assert await second.read(item) == -5
    with pytest.raises(OSError, match=r"."):
        await second.read(item)
    async with opcua_server(port):
        await second.open()
        assert await second.read(item) == -5
        await second.close()


async def test_user_and_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "edgelab")
    port, item = free_port(), prop("Int16", "int")
    (tmp_path / "plant").write_text("s3cret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("OPCUA_PLANT", "s3cret")
    async with opcua_server(port, Users()):
        for given in ({"password": "s3cret"}, {"passwordFile": "plant"}, {"passwordEnv": "OPCUA_PLANT"}):
            driver = device(port, item, userName="operator", **given)
            await driver.open()
            assert await driver.read(item) == -5
            await driver.close()
        wrong = device(port, item, userName="operator", password="wr0ng")
        with pytest.raises(OSError, match=r".") as told:
            await wrong.open()
        await wrong.close()
    assert "wr0ng" not in str(told.value)
    shown = repr(endpoint(device(1, password="s3cret").device))
    assert "s3cret" not in shown + caplog.text


async def test_signed_and_encrypted(tmp_path: Path) -> None:
    port, item = free_port(), prop("Int16", "int")
    await certificate(tmp_path, "client", "urn:mapper", ExtendedKeyUsageOID.CLIENT_AUTH)
    async with opcua_server(port, secure=tmp_path):
        driver = device(
            port,
            item,
            securityPolicy="Basic256Sha256",
            securityMode="SignAndEncrypt",
            certificate=str(tmp_path / "client.der"),
            privateKey=str(tmp_path / "client.pem"),
        )
        await driver.open()
        assert await driver.read(item) == -5
        await driver.close()
        plain = device(port, item)
        with pytest.raises(OSError, match=r"."):
            await plain.open()
        await plain.close()


async def test_a_desired_value_arrives_and_a_wrong_device_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port, link, sessions = free_port(), FakeLink(), Shared[Session]()
    model: dict[str, Any] = {
        "metadata": {"namespace": "default", "name": "m"},
        "spec": {"properties": [{"name": "level", "type": "INT", "accessMode": "ReadWrite"}]},
    }

    def message(name: str, node: str) -> Any:
        level = {"name": "level", "collectCycle": 50, "reportToCloud": True, "desired": {"value": "9"}}
        address = {"url": f"opc.tcp://127.0.0.1:{port}/plant", "timeout": 2}
        spec = {
            "deviceModelRef": {"name": "m"},
            "protocol": {"protocolName": "opcua", "configData": address},
            "properties": [{**level, "visitors": {"configData": {"nodeID": node}}}],
            "stateReport": {"reportToCloud": True, "reportCycle": 10000},
        }
        return device_message({"metadata": {"namespace": "default", "name": name}, "spec": spec}, model)

    async with opcua_server(port) as server:
        fleet = Fleet(lambda found: OpcuaDevice(found, sessions), SYSTEM)
        fleet.attach(link)
        fleet.replace([model_message(model)], [message("good", "ns=2;s=Int16"), message("bad", "Level")])
        async with asyncio.timeout(20):
            while {"level": "9"} not in link.values:
                await asyncio.sleep(0.02)
        assert await server.get_node("ns=2;s=Int16").read_value() == 9
        assert fleet.runner("default/good").health == "online"
        assert fleet.runner("default/bad").health == "offline"
        await fleet.close()
    assert "default/bad cannot be reached: property level: configData.nodeID: 'Level'" in caplog.text
