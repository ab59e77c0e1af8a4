"""A node that another CloudCore has: two whole CloudCores on one API pass its messages on."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from tests.cloudcore.cloud import Edge, eventually, running
from tests.cloudcore.router.crossing import Crossing, Target, upload
from tests.cloudcore.router.pair import Pair, published, rule, two
from tests.edgecore.cloud_peer import Pki

from edgelab.cloudcore.cloudhub import replicas
from edgelab.cloudcore.router import downward, errands, listener
from edgelab.cloudcore.router.errands import Errand, Sealed
from edgelab.kube.resources import SECRETS
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

CROSS = {"topic": "cross", "node_name": "edge1"}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are renewed, and kept messages looked after, without delay."""
    monkeypatch.setattr(replicas, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(downward, "LOOK_SECONDS", 0.1)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with two(tmp_path) as made:
        yield made


def asked(message: Message) -> bool:
    return message.route.source == "router_servicebus" and message.route.operation not in ("start", "stop")


async def answer(edge: Edge, status: int, body: bytes, header: dict[str, list[str]]) -> Message:
    question = await edge.wait(asked)
    edge.received.remove(question)
    content = {"header": header, "status_code": status, "body": base64.b64encode(body).decode()}
    reply = wire.new(
        source="servicebus",
        group="user",
        operation="upload",
        resource="",
        content=content,
        parent_id=question.id,
    )
    await edge.send(reply)
    return question


async def test_a_call_and_its_answer_pass_whole(pair: Pair) -> None:
    edge = await pair.b.joined(ours=True)
    await rule(pair, "svc", {"path": "/svc"}, {"path": "/target"})
    await pair.ready()
    body, back = bytes(range(256)) * 4096 * 12, bytes(range(255, -1, -1)) * 4096 * 12
    asking = asyncio.create_task(
        pair.a.ask("/edge1/default/svc/a%20b?c=d", body, "PUT", X_Test="1", Connection="X-Hop", X_Hop="1")
    )
    question = await answer(edge, 409, back, {"X-Answer": ["yes", "no"], "Connection": ["close"]})
    status, text, headers = await asking
    assert (status, text, headers["X-Answer"]) == (409, back, "yes")
    content = question.value()
    assert (content["method"], question.route.resource) == ("PUT", "29666:/target/a%20b?c=d")
    assert base64.b64decode(content["body"]) == body
    assert content["header"]["X-Test"] == ["1"]
    assert "X-Hop" not in content["header"]
    assert 2 < content["timeout"] < 4.5, "what is left of restTimeout"
    await pair.a.counted("svc", 1, 0)
    assert pair.a.router._rest.budget.used == pair.b.router._rest.budget.used == 0
    assert (await pair.a.ask("/edge1/default/svc", body + b"1"))[0] == 413


async def test_a_message_for_mqtt_passes_and_what_the_node_refuses_is_told(pair: Pair) -> None:
    edge = await pair.b.joined()
    await rule(pair, "down", {"path": "/down"}, {"topic": "down"})
    await pair.ready()
    assert (await pair.a.ask("/edge1/default/down/x", b"hello"))[:2] == (200, b"message delivered")
    message = await edge.wait(published)
    assert (message.route.resource, message.value()) == ("down/x", "hello")
    assert (await pair.a.ask("/edge1/default/down", b"\xff"))[0] == 415
    await pair.a.counted("down", 1, 1)


async def test_rules_between_nodes_reach_a_node_of_the_other_one(pair: Pair) -> None:
    source, edge = await pair.a.joined("edge1"), await pair.b.joined("edge2", ours=True)
    await rule(pair, "mqtt", CROSS, {"topic": "crossed", "node_name": "edge2"})
    to = {"path": "/target", "node_name": "edge2"}
    await rule(pair, "svc", {"topic": "ask", "node_name": "edge1"}, to)
    await pair.ready("edge2")
    for number in range(20):
        await source.send(upload("default/cross", str(number)))
    await source.send(upload("default/ask", "q"))
    question = await answer(edge, 200, b"", {})
    assert base64.b64decode(question.value()["body"]) == b"q"
    await pair.a.counted("mqtt", 20, 0)
    assert [m.value() for m in edge.received if published(m)] == [str(n) for n in range(20)]
    await pair.a.counted("svc", 1, 0)


async def test_authentication_and_rate_count_once_where_the_client_asks(pair: Pair) -> None:
    edge = await pair.b.joined(ours=True)
    secret = {"metadata": {"name": "key"}, "data": {"token": base64.b64encode(b"word").decode()}}
    await pair.a.cloud.api.create(SECRETS, secret, "default")
    limits = {"authentication": "token", "token_secret": "key", "rate_limit": "1"}
    await rule(pair, "svc", {"path": "/svc"}, {"path": "/target"}, **limits)
    await pair.ready()
    assert (await pair.a.ask("/edge1/default/svc"))[0] == 401
    asking = asyncio.create_task(pair.a.ask("/edge1/default/svc", Authorization="Bearer word"))
    question = await answer(edge, 200, b"", {})
    assert (await asking)[0] == 200
    assert "Authorization" not in question.value()["header"]
    assert (await pair.a.ask("/edge1/default/svc", Authorization="Bearer word"))[0] == 429


async def test_https_goes_to_the_certificate_that_the_lease_tells_of(tmp_path: Path) -> None:
    keys = Pki.create(tmp_path / "keys").directory
    tls = {"tlsCertFile": str(keys / "cloud.crt"), "tlsPrivateKeyFile": str(keys / "cloud.key")}
    async with two(tmp_path, **tls) as pair:
        edge = await pair.b.joined(ours=True)
        await rule(pair, "down", {"path": "/down"}, {"topic": "down"})
        await pair.ready()
        url = pair.a.cloud.rest.replace("http:", "https:") + "/edge1/default/down"
        async with pair.a.client.post(url, data=b"x", ssl=False) as got:
            assert got.status == 200
        assert (await edge.wait(published)).value() == "x"
        pair.neighbours(pair.b).announce(pair.neighbours(pair.a).way("b").url, "00" * 32)
        await eventually(lambda: pair.neighbours(pair.a).way("b").fingerprint == "00" * 32)
        async with pair.a.client.post(url, data=b"x", ssl=False) as got:
            assert (got.status, got.headers["Retry-After"]) == (503, "5")
            assert "CloudCore b, which has the node, cannot be reached" in await got.text()


async def test_a_renewed_certificate_is_told_and_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LOOK_SECONDS", 0.1)
    keys = Pki.create(tmp_path / "keys").directory
    tls = {"tlsCertFile": str(keys / "cloud.crt"), "tlsPrivateKeyFile": str(keys / "cloud.key")}
    async with two(tmp_path, **tls) as pair:
        edge = await pair.b.joined(ours=True)
        await rule(pair, "down", {"path": "/down"}, {"topic": "down"})
        await pair.ready()
        before = pair.neighbours(pair.a).way("b").fingerprint
        newer = Pki.create(tmp_path / "newer").directory
        for name in ("cloud.crt", "cloud.key"):
            (newer / name).replace(keys / name)
        await eventually(lambda: pair.neighbours(pair.a).way("b").fingerprint != before)
        assert pair.neighbours(pair.a).way("b").fingerprint == listener.fingerprint(
            pair.b.cloud.settings.edgelab.router
        )
        url = pair.a.cloud.rest.replace("http:", "https:") + "/edge1/default/down"
        async with pair.a.client.post(url, data=b"x", ssl=False) as got:
            assert got.status == 200
        assert (await edge.wait(published)).value() == "x"


async def test_a_client_certificate_is_looked_at_where_the_client_asks(tmp_path: Path) -> None:
    keys = Pki.create(tmp_path / "keys", node="anna").directory
    tls = {"tlsCertFile": str(keys / "cloud.crt"), "tlsPrivateKeyFile": str(keys / "cloud.key")}
    async with two(tmp_path, **tls, clientCAFile=str(keys / "rootCA.crt")) as pair:
        edge = await pair.b.joined(ours=True)
        await rule(pair, "down", {"path": "/down"}, {"topic": "down"}, authentication="certificate")
        await pair.ready()
        url = pair.a.cloud.rest.replace("http:", "https:") + "/edge1/default/down"
        shown = ssl.create_default_context(cafile=str(keys / "rootCA.crt"))
        async with pair.a.client.post(url, data=b"x", ssl=shown) as got:
            assert got.status == 401
        own = ssl.create_default_context(cafile=str(keys / "rootCA.crt"))
        own.load_cert_chain(keys / "server.crt", keys / "server.key")
        async with pair.a.client.post(url, data=b"x", ssl=own) as got:
            assert got.status == 200
        assert (await edge.wait(published)).value() == "x"


async def test_one_that_tells_no_address_or_does_not_listen_is_503(pair: Pair) -> None:
    await pair.b.joined()
    await rule(pair, "down", {"path": "/down"}, {"topic": "down"})
    await pair.ready()
    ours, theirs = pair.neighbours(pair.a), pair.neighbours(pair.b)
    theirs.announce("", "")
    await eventually(lambda: ours.way("b") is None)
    status, text, headers = await pair.a.ask("/edge1/default/down")
    assert (status, headers["Retry-After"]) == (503, "5")
    assert text == b"node edge1 is connected to CloudCore b; send it there\n"
    theirs.announce("http://127.0.0.1:9", "")
    await eventually(lambda: ours.way("b") is not None)
    status, text, headers = await pair.a.ask("/edge1/default/down")
    assert (status, headers["Retry-After"]) == (503, "5")
    assert b"CloudCore b, which has the node, cannot be reached" in text


async def test_who_else_listens_at_that_address_is_not_believed(pair: Pair) -> None:
    await pair.b.joined()
    await rule(pair, "down", {"path": "/down"}, {"topic": "down"})
    await pair.ready()
    pair.neighbours(pair.b).announce(pair.a.target.url, "")
    await eventually(lambda: pair.neighbours(pair.a).way("b").url == pair.a.target.url)
    status, text, _ = await pair.a.ask("/edge1/default/down")
    assert status == 502
    assert b"CloudCore b, which has the node, did not take the message: status 200" in text


async def test_a_message_never_goes_in_a_circle(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes the other one for the holder, as it may be for a moment when a node moves."""
    await pair.a.cloud.node()
    await rule(pair, "down", {"path": "/down"}, {"topic": "down"})
    await rule(pair, "kept", {"path": "/kept"}, {"topic": "kept"}, spool="true")
    for one, other in ((pair.a, "b"), (pair.b, "a")):
        found = pair.neighbours(one)
        await eventually(lambda found=found, other=other: found.way(other) is not None)
        monkeypatch.setattr(found, "other", lambda _node, other=other: other)
        monkeypatch.setattr(found, "mine", lambda _node: False)
    status, text, _ = await pair.a.ask("/edge1/default/down")
    assert (status, text) == (503, b"cloudcore doesn't have session for node:edge1\n")
    assert (pair.a.router._peers.counts, pair.b.router._peers.counts) == ({"failed": 1}, {})
    assert (await pair.a.ask("/edge1/default/kept"))[0] == 202
    assert pair.a.router._spool.holds("edge1")
    assert not pair.b.router._spool.holds("edge1")


async def test_what_is_kept_follows_the_node_in_its_order(pair: Pair) -> None:
    edge = await pair.b.joined()
    await rule(pair, "down", {"path": "/down"}, {"topic": "down"}, spool="true")
    await pair.ready()
    await edge.close()
    await eventually(lambda: not pair.b.cloud.hub.connected("edge1"))
    for number in range(10):
        assert (await pair.a.ask("/edge1/default/down", str(number).encode()))[0] == 202
    assert not pair.a.router._spool.holds("edge1"), "it is with the one that had the node last"
    assert pair.b.router._spool.holds("edge1")
    moved = await pair.a.joined()
    await moved.wait(lambda m: published(m) and m.value() == "9")
    assert [m.value() for m in moved.received if published(m)] == [str(n) for n in range(10)]
    await pair.a.until(lambda: not pair.b.router._spool.holds("edge1"))
    await pair.a.counted("down", 10, 0)


async def test_what_is_kept_while_the_other_one_is_unreachable_is_brought_later(pair: Pair) -> None:
    edge = await pair.b.joined()
    await rule(pair, "down", {"path": "/down"}, {"topic": "down"}, spool="true")
    await pair.ready()
    ours, theirs = pair.neighbours(pair.a), pair.neighbours(pair.b)
    url = ours.way("b").url
    theirs.announce("http://127.0.0.1:9", "")
    await eventually(lambda: ours.way("b").url != url)
    for number in range(3):
        assert (await pair.a.ask("/edge1/default/down", str(number).encode()))[0] == 202
    theirs.announce(url, "")
    await edge.wait(lambda m: published(m) and m.value() == "2")
    assert [m.value() for m in edge.received if published(m)] == ["0", "1", "2"]
    await pair.a.counted("down", 3, 0)


async def test_a_client_that_leaves_leaves_nothing_behind_at_either(pair: Pair) -> None:
    edge = await pair.b.joined()
    await rule(pair, "svc", {"path": "/svc"}, {"path": "/target"})
    await pair.ready()
    asking = asyncio.create_task(pair.a.ask("/edge1/default/svc"))
    await edge.wait(asked)
    assert len(pair.b.router._deliveries) == 1
    asking.cancel()
    await pair.b.until(lambda: len(pair.b.router._deliveries) == 0)
    await pair.b.until(lambda: pair.b.router._rest.budget.used == 0)


async def send(one: Crossing, ticket: str, body: bytes) -> tuple[int, str]:
    headers = {errands.HEADER: ticket}
    async with one.client.post(one.cloud.rest + errands.PATH, data=body, headers=headers) as got:
        return got.status, await got.text()


Forge = Callable[[Crossing, bytes], str]


def sealed(one: Crossing, *, key: bytes = b"", age: float = 0.0) -> Sealed:
    now = one.router._errands._now
    return Sealed(key or one.cloud.pki.ca.key_der, "b", lambda: now() - age)


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (lambda one, body: "", "not by a CloudCore"),
        (lambda one, body: "e30.e30", "not by a CloudCore"),
        (lambda one, body: sealed(one, key=b"other").ticket("a", "1", body), "not by a CloudCore"),
        (lambda one, body: sealed(one).ticket("c", "2", body), "the errand is for c"),
        (lambda one, body: sealed(one, age=301).ticket("a", "3", body), "clocks of the two CloudCores"),
        (lambda one, body: sealed(one, age=-301).ticket("a", "4", body), "clocks of the two CloudCores"),
        (lambda one, body: sealed(one).ticket("a", "5", body + b"."), "not the ticket's"),
    ],
)
async def test_an_errand_without_the_right_seal_is_401(tmp_path: Path, forge: Forge, why: str) -> None:
    async with (
        running(tmp_path, replica="a", router={"advertiseAddress": "127.0.0.1"}) as cloud,
        aiohttp.ClientSession() as client,
    ):
        one = Crossing(cloud, client, Target())
        await eventually(lambda: bool(one.router.listener.listening.is_set()))
        body = errands.pack(Errand("edge1", 5.0, ("default", "down"), "down"), b"x")
        status, text = await send(one, forge(one, body), body)
        assert status == 401
        assert why in text


async def test_a_ticket_counts_once(pair: Pair) -> None:
    edge = await pair.a.joined()
    body = errands.pack(Errand("edge1", 5.0, ("default", "down"), "down"), b"x")
    ticket = sealed(pair.a).ticket("a", "1", body)
    assert (await send(pair.a, ticket, body))[0] == 200
    assert (await send(pair.a, ticket, body)) == (401, "the errand has come before\n")
    await edge.wait(published)
    assert sum(published(message) for message in edge.received) == 1
