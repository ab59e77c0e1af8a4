"""What annotations and settings add: kept messages, rates, tokens, certificates, TLS."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.cloudcore.cloud import Edge, running
from tests.cloudcore.router.crossing import Crossing, Target, crossing, upload
from tests.edgecore.cloud_peer import Pki

from edgelab.cloudcore.router.access import Pace
from edgelab.cloudcore.router.spool import FILE
from edgelab.kube.resources import RULES, SECRETS
from edgelab.settings.cloudcore import CloudCore, validate

DOWN = {"path": "/down"}
TO = {"topic": "down"}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Crossing]:
    async with crossing(tmp_path, restTimeout=5, spoolBytes=1000) as made:
        await made.endpoints()
        yield made


async def published(edge: Edge, number: int) -> list[str]:
    """What a node was given to publish, once there are so many."""

    def all_of_it() -> list[str]:
        return [m.value() for m in edge.received if m.route.operation == "publish"]

    async with asyncio.timeout(30):
        while len(all_of_it()) < number:
            await asyncio.sleep(0.01)
    return all_of_it()


async def test_messages_are_kept_in_order_until_the_node_connects(place: Crossing) -> None:
    await place.cloud.node()
    await place.rule("down", DOWN, TO, spool="true")
    for number in range(10):
        status, text, _ = await place.ask("/edge1/default/down", str(number).encode())
        assert (status, text) == (202, b"message kept until the node connects")
    edge = await place.joined()
    assert await published(edge, 10) == [str(number) for number in range(10)]
    await place.counted("down", 10, 0)
    assert (await place.ask("/edge1/default/down"))[0] == 200


async def test_what_is_kept_outlives_cloudcore_and_is_bounded(tmp_path: Path) -> None:
    async with crossing(tmp_path, spoolBytes=1000) as place:
        await place.endpoints()
        await place.cloud.node()
        await place.rule("down", DOWN, TO, spool="true")
        assert (await place.ask("/edge1/default/down", b"a" * 900))[0] == 202
        status, text, headers = await place.ask("/edge1/default/down", b"a" * 101)
        assert status == 503
        assert b"the router's spool is full" in text
        assert "Retry-After" in headers
        api = place.cloud.api
    file = tmp_path / "spool" / FILE
    assert file.stat().st_mode & 0o077 == 0
    async with (
        running(tmp_path, api, router={"spoolBytes": 1000}) as cloud,
        aiohttp.ClientSession() as client,
    ):
        place = Crossing(cloud, client, Target())
        await place.until(lambda: place.table.get(("default", "down")) is not None)
        assert (await place.ask("/edge1/default/down", b"b" * 101))[0] == 503
        assert await published(await place.joined(), 1) == ["a" * 900]


async def test_what_a_go_edge_takes_never_holds_up_nothing(place: Crossing) -> None:
    await place.cloud.node()
    await place.rule("down", DOWN, TO, spool="true")
    for body in (b"first", b"\xff", b"last"):
        assert (await place.ask("/edge1/default/down", body))[0] == 202
    assert await published(await place.joined(), 2) == ["first", "last"]
    status = await place.counted("down", 2, 1)
    assert "no UTF-8" in status["errors"][0]


async def test_what_is_kept_for_a_rule_that_ends_is_dropped(place: Crossing) -> None:
    await place.cloud.node()
    await place.rule("down", DOWN, TO, spool="true")
    await place.rule("other", {"path": "/other"}, {"topic": "other"}, spool="true")
    for name in ("down", "other"):
        assert (await place.ask(f"/edge1/default/{name}"))[0] == 202
    await place.delete("down")
    edge = await place.joined()
    await published(edge, 1)
    await place.until(lambda: not place.router._spool.holds("edge1"))
    assert [m.route.resource for m in edge.received if m.route.operation == "publish"] == ["other"]


async def test_a_rate_is_kept_and_told(place: Crossing) -> None:
    await place.joined()
    await place.rule("down", DOWN, TO, rate_limit="2")
    found = [(await place.ask("/edge1/default/down"))[0] for _ in range(4)]
    assert found[:2] == [200, 200]
    assert found[3] == 429
    status, text, headers = await place.ask("/edge1/default/down")
    assert (status, headers["Retry-After"]) == (429, "1")
    assert b"takes 2 messages a second" in text


def test_a_rate_delays_and_refuses_by_time() -> None:
    now = [100.0]
    pace = Pace(lambda: now[0])
    assert [pace.delay(2) for _ in range(4)] == [0, 0, 0.5, 1.0]
    now[0] += 10
    assert [pace.refusal(2) for _ in range(3)] == [0, 0, 0.5]
    assert pace.refusal(0) == 0


async def test_a_token_is_asked_for_checked_and_not_handed_on(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("svc", {"path": "/svc"}, {"path": "/x"}, authentication="token", token_secret="t")
    assert (await place.ask("/edge1/default/svc", Authorization="Bearer x"))[0] == 403
    data = {"token": base64.b64encode(b"sesame\n").decode()}
    await place.cloud.api.create(SECRETS, {"metadata": {"name": "t"}, "data": data}, "default")
    await place.until(lambda: ("default", "t") in place.router._access._secrets)
    status, _, headers = await place.ask("/edge1/default/svc")
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    for wrong in ("Bearer other", "Bearer ", "Basic sesame", "sesame", "Bearer sesam\xe9"):
        assert (await place.ask("/edge1/default/svc", Authorization=wrong))[0] == 401
    asking = asyncio.create_task(place.ask("/edge1/default/svc", Authorization="Bearer sesame"))
    call = await edge.wait(lambda message: message.route.source == "router_servicebus")
    assert "Authorization" not in call.value()["header"]
    asking.cancel()


async def test_annotations_of_an_endpoint_count_for_its_rules_and_nonsense_is_told(place: Crossing) -> None:
    wrong = {
        "a": ({"authentication": "password"}, "none, token, certificate"),
        "b": ({"authentication": "token"}, "edgelab.io/token-secret"),
        "c": ({"rate_limit": "fast"}, "edgelab.io/rate-limit"),
        "d": ({"spool": "maybe"}, "edgelab.io/spool"),
    }
    for name, (values, why) in wrong.items():
        await place.rule(name, {"path": f"/{name}"}, TO, wait=False, **values)
        await place.until(lambda name=name: ("default", name) in place.table.problems)
        assert why in place.table.problems["default", name]
    await place.rule("svc", {"path": "/svc"}, {"path": "/x"}, wait=False, spool="true")
    await place.until(lambda: ("default", "svc") in place.table.problems)
    patch = {"metadata": {"annotations": {"edgelab.io/spool": None}}}
    await place.cloud.api.patch(RULES, "svc", patch, "default")
    await place.until(lambda: place.table.get(("default", "svc")) is not None)
    assert ("default", "svc") not in place.table.problems


async def test_the_port_speaks_tls_and_asks_for_certificates_where_a_rule_wants_them(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "pki")
    files = tmp_path / "pki"
    tls = {
        "tlsCertFile": str(files / "cloud.crt"),
        "tlsPrivateKeyFile": str(files / "cloud.key"),
        "clientCAFile": str(files / "rootCA.crt"),
    }
    plain = ssl.create_default_context(cafile=str(files / "rootCA.crt"))
    shown = ssl.create_default_context(cafile=str(files / "rootCA.crt"))
    shown.load_cert_chain(files / "server.crt", files / "server.key")
    async with crossing(tmp_path / "cloud", **tls) as place:
        await place.endpoints()
        await place.joined()
        await place.rule("open", {"path": "/open"}, TO)
        await place.rule("closed", {"path": "/closed"}, TO, authentication="certificate")
        names = "somebody, else"
        await place.rule(
            "named", {"path": "/named"}, TO, authentication="certificate", certificate_names=names
        )

        async def ask(path: str, context: ssl.SSLContext) -> int:
            url = f"{place.cloud.rest.replace('http', 'https')}/edge1/default/{path}"
            async with aiohttp.ClientSession() as client, client.post(url, data=b"x", ssl=context) as answer:
                return answer.status

        assert await ask("open", plain) == 200
        assert await ask("closed", plain) == 401
        assert await ask("closed", shown) == 200
        assert await ask("named", shown) == 403
        pki.ca.issue(common_name="x", organization="y", client=True)
        foreign = Pki.create(tmp_path / "foreign").directory
        shown.load_cert_chain(foreign / "server.crt", foreign / "server.key")
        with pytest.raises(aiohttp.ClientError):
            await ask("closed", shown)


async def test_a_targets_certificate_is_checked_unless_the_rule_says_otherwise(place: Crossing) -> None:
    edge = await place.joined()
    files = place.cloud.directory / "pki"
    Pki.create(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "cloud.crt", files / "cloud.key")
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        to = {"resource": f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"}
        await place.rule("checked", {"topic": "a", "node_name": "edge1"}, to)
        await place.rule("trusting", {"topic": "b", "node_name": "edge1"}, to, tls_verify="false")

        for topic in ("a", "b"):
            await edge.send(upload(f"default/{topic}", "x"))
        status = await place.counted("checked", 0, 1)
        assert "certificate verify failed" in status["errors"][0]
        await place.counted("trusting", 1, 0)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"tlsCertFile": "/a"}, "edgelab.router.tlsPrivateKeyFile"),
        ({"clientCAFile": "/a"}, "edgelab.router.clientCAFile"),
        ({"advertiseAddress": "http://cloud"}, "edgelab.router.advertiseAddress"),
        ({"spoolDirectory": "a"}, "edgelab.router.spoolDirectory"),
        ({"spoolBytes": -1}, "edgelab.router.spoolBytes"),
    ],
)
def test_settings_that_make_no_sense_are_named(values: dict[str, object], field: str) -> None:
    settings = CloudCore()
    for name, value in values.items():
        setattr(settings.edgelab.router, name, value)
    assert [problem.field for problem in validate(settings)] == [field]
