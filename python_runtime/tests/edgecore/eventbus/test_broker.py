"""The internal broker over real sockets, with time moved by hand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.edgecore.cloud_peer import Pki
from tests.edgecore.edged.samples import HandClock
from tests.edgecore.eventbus.raw_client import framed, raw_client, text

from edgelab.edgecore.eventbus import inbox as inboxes
from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.access import Access
from edgelab.edgecore.eventbus.broker.broker import LOGIN_TIME, Broker, Limits
from edgelab.edgecore.eventbus.broker.connection import LOGIN_PACKET
from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.broker.sessions import FILTERS
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.inbox import Inbox

UPDATE = "$hw/events/device/default/thermo/twin/update"


class Site:
    """A broker and what it was built with."""

    def __init__(self, access: Access, limits: Limits) -> None:
        self.clock = HandClock()
        self.inbox = Inbox()
        self.broker = Broker(access, limits, self.inbox, self.clock, Drops(self.clock))
        self.port = 0


@contextlib.asynccontextmanager
async def site(
    access: Access | None = None, limits: Limits | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Site]:
    made = Site(access or Access("", ""), limits or Limits())
    async with made.broker.serve("127.0.0.1", 0, tls) as port:
        made.port = port
        yield made


async def test_a_message_reaches_those_who_subscribed_once_and_with_the_lower_qos() -> None:
    async with site() as here, raw_client(here.port, "a") as one, raw_client(here.port, "b") as two:
        assert await one.subscribe("s/#", "s/t", qos=1) == [1, 1]
        two.publish("s/t", b"x", qos=2, number=7)
        assert await two.receive() == (0x50, b"\0\7")
        two.publish("s/t", b"x", qos=2, number=7)  # a repetition is no second message
        two.send(packets.acknowledgement(packets.PUBREL, 7))
        assert await two.receive() == (0x50, b"\0\7")
        assert await two.receive() == (0x70, b"\0\7")
        two.publish("s/t", b"y")
        two.publish("other", b"z")
        await two.in_step()
        assert await one.message() == Message("s/t", b"x", 1)
        assert await one.message() == Message("s/t", b"y", 0)
        await one.in_step()


async def test_eventbus_hears_what_it_listens_to_and_nothing_else() -> None:
    async with site() as here, raw_client(here.port, "a") as client:
        here.broker.listen_to("$hw/events/device/+/+/twin/+")
        here.broker.listen_to("gone/#")
        here.broker.ignore("gone/#")
        for topic in ("gone/x", UPDATE + "/result", UPDATE):
            client.publish(topic, b"{}", qos=1)
            assert await client.receive() == (0x40, b"\0\1")
        assert await here.inbox.get() == (UPDATE, b"{}")
        assert not here.inbox.full
        with pytest.raises(ValueError, match="last level"):
            here.broker.listen_to("a/#/b")


async def test_what_eventbus_publishes_is_not_heard_by_itself() -> None:
    async with site() as here, raw_client(here.port, "a") as client:
        here.broker.listen_to("x")
        await client.subscribe("x")
        here.broker.publish(Message("x", b"1"))
        assert (await client.message()).payload == b"1"
        client.publish("x", b"2")
        await client.message()
        assert await here.inbox.get() == ("x", b"2")


async def test_a_publisher_waits_while_eventbus_has_enough_to_do() -> None:
    async with site() as here, raw_client(here.port, "a") as client:
        here.broker.listen_to("x")
        for number in range(inboxes.MOST + 50):
            client.publish("x", b"%d" % number, qos=1)
        for _ in range(inboxes.MOST):
            assert await client.receive() == (0x40, b"\0\1")
        assert here.inbox.full
        assert [(await here.inbox.get())[1] for _ in range(inboxes.MOST)][-1] == b"%d" % (inboxes.MOST - 1)
        for _ in range(50):
            assert await client.receive() == (0x40, b"\0\1")


async def test_retained_messages_greet_a_new_subscriber_and_an_empty_one_ends_that() -> None:
    async with site() as here, raw_client(here.port, "a") as one, raw_client(here.port, "b") as two:
        one.publish("r/1", b"old", retain=True)
        one.publish("r/1", b"new", qos=1, retain=True)
        one.publish("r/2", b"x", retain=True)
        one.publish("r/2", b"", retain=True)
        assert await one.receive() == (0x40, b"\0\1")
        assert await two.subscribe("r/+", qos=1) == [1]
        assert await two.message() == Message("r/1", b"new", 1, True)
        one.publish("r/1", b"live", retain=True)
        assert await two.message() == Message("r/1", b"live", 0, False)
        await two.in_step()


async def test_a_will_is_published_unless_the_client_says_goodbye() -> None:
    async with site() as here, raw_client(here.port, "watcher") as watcher:
        here.broker.listen_to("w/#")
        await watcher.subscribe("w/#")
        for farewell in (b"\xe0\0", b""):
            async with raw_client(here.port) as client:
                await client.log_in("mortal", will=Message("w/mortal", farewell or b"gone"))
                client.send(farewell)
        assert await watcher.message() == Message("w/mortal", b"gone")
        assert await here.inbox.get() == ("w/mortal", b"gone")
        await watcher.in_step()


async def test_a_session_that_is_to_be_kept_survives_the_connection_and_a_clean_one_does_not() -> None:
    async with site() as here, raw_client(here.port, "other") as other:
        async with raw_client(here.port) as client:
            assert await client.log_in("keeper", clean=False) == b"\0\0"
            await client.subscribe("k", qos=1)
            await client.leave()
        other.publish("k", b"1", qos=1)
        assert await other.receive() == (0x40, b"\0\1")
        async with raw_client(here.port) as client:
            assert await client.log_in("keeper", clean=False) == b"\1\0"
            assert (await client.message()).payload == b"1"
            await client.leave()
        async with raw_client(here.port) as client:
            assert await client.log_in("keeper", clean=True) == b"\0\0"
            other.publish("k", b"2", qos=1)
            assert await other.receive() == (0x40, b"\0\1")
            await client.in_step()


async def test_of_absent_clients_the_last_to_leave_are_kept() -> None:
    async with site(limits=Limits(kept=2)) as here:
        for name in "abc":
            async with raw_client(here.port) as client:
                await client.log_in(name, clean=False)
                await client.leave()
        for name, known in (("c", b"\1\0"), ("b", b"\1\0"), ("a", b"\0\0")):
            async with raw_client(here.port) as client:
                assert await client.log_in(name, clean=False) == known
                await client.leave()


async def test_a_client_takes_over_from_another_with_its_identifier() -> None:
    async with site() as here, raw_client(here.port, "same") as old, raw_client(here.port, "same") as new:
        assert await old.receive() is None
        await new.in_step()


async def test_a_client_of_mqtt_5_is_told_that_its_version_is_not_spoken() -> None:
    async with site() as here, raw_client(here.port) as client:
        client.send(bytes.fromhex("100e 0004 4d515454 05 02 003c 00 0001 61"))
        assert await client.receive() == (0x20, b"\0\1")
        assert await client.receive() is None


HOSTILE = {
    "a wildcard": framed(0x30, text("a/+/b") + b"x"),
    "hash": framed(0x30, text("#")),
    "an empty topic": framed(0x30, text("")),
    "NUL": framed(0x30, text("a\0b")),
    "64 KiB of topic": framed(0x30, text("x" * 65535)),
    "a surrogate": framed(0x30, text("\ud800")),
    "a megabyte": framed(0x30, text("a") + bytes(1_000_000)),
    "no second CONNECT": bytes.fromhex("100d 0004 4d515454 04 02 003c 0001 61"),
    "a filter that is none": framed(0x82, b"\0\1" + text("a/#/b") + b"\0"),
    "an empty SUBSCRIBE": framed(0x82, b"\0\1"),
    "flags": b"\xc1\0",
    "a packet for clients": b"\xd0\0",
    "an endless length": b"\x30\xff\xff\xff\xff\xff",
    "type 15": b"\xf0\0",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
async def test_who_breaks_the_rules_is_sent_away_and_nobody_else_is_disturbed(data: bytes) -> None:
    async with (
        site() as here,
        raw_client(here.port, "good") as good,
        raw_client(here.port, "other") as other,
        raw_client(here.port, "bad") as bad,
    ):
        here.broker.listen_to("#")
        await good.subscribe("#")
        bad.send(data)
        assert await bad.receive() is None
        other.publish("Küche/°C", b"21")
        assert await good.message() == Message("Küche/°C", b"21")
        assert await here.inbox.get() == ("Küche/°C", b"21")


async def test_the_first_packet_must_be_a_small_connect_and_must_come_soon() -> None:
    async with site() as here, raw_client(here.port) as rude, raw_client(here.port) as silent:
        rude.send(b"\xc0\0")
        assert await rude.receive() is None
        async with raw_client(here.port) as greedy:
            greedy.send(framed(0x10, text("MQTT") + bytes((4, 2, 0, 60)) + text("a" * LOGIN_PACKET)))
            assert await greedy.receive() is None
        here.clock.moment += LOGIN_TIME + 1
        here.broker.look()
        assert await silent.receive() is None


async def test_a_client_that_is_silent_for_one_and_a_half_keepalives_is_sent_away() -> None:
    async with site() as here, raw_client(here.port, "a", keepalive="10") as client:
        for passed in (10, 14):
            here.clock.moment += passed
            here.broker.look()
            await client.in_step()
        here.clock.moment += 16
        here.broker.look()
        assert await client.receive() is None


async def test_a_client_identifier_may_be_empty_with_a_clean_session_only() -> None:
    async with site() as here, raw_client(here.port) as one, raw_client(here.port) as two:
        assert await one.log_in("") == b"\0\0"
        assert await two.log_in("", clean=False) == b"\0\2"


async def test_there_is_an_end_to_clients_and_to_subscriptions() -> None:
    async with site(limits=Limits(clients=1)) as here, raw_client(here.port, "a") as client:
        async with raw_client(here.port) as further:
            assert await further.receive() is None
        codes = await client.subscribe(*(f"t/{number}" for number in range(FILTERS + 1)))
        assert codes == [0] * FILTERS + [packets.REFUSED]
        await client.in_step()


async def test_handshakes_that_fail_take_nobodys_place(tmp_path: Path) -> None:
    Pki.create(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cloud.crt", tmp_path / "cloud.key")
    trusting = ssl.create_default_context(cafile=tmp_path / "rootCA.crt")
    trusting.check_hostname = False
    async with site(limits=Limits(clients=1), tls=tls) as here:
        for _ in range(3):
            async with raw_client(here.port) as plain:
                plain.send(b"no TLS at all, and no MQTT either")
                assert await plain.ended()
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port, ssl=trusting)
        writer.write(bytes.fromhex("100d 0004 4d515454 04 02 003c 0001 61"))
        async with asyncio.timeout(20):
            assert await reader.read(4) == b"\x20\x02\0\0"
        writer.close()


async def test_a_subscriber_that_reads_nothing_holds_up_nobody_and_gets_the_newest_later() -> None:
    async with (
        site(limits=Limits(queue=10)) as here,
        raw_client(here.port, "stuck") as stuck,
        raw_client(here.port, "quick") as quick,
        raw_client(here.port, "publisher") as publisher,
    ):
        await stuck.subscribe("t", qos=1)
        await quick.subscribe("t", qos=1)
        for value in range(500):
            publisher.publish("t", b"%d" % value, qos=1)
        seen = [(await quick.message()).payload for _ in range(500)]
        assert seen == [b"%d" % value for value in range(500)]
        async with asyncio.timeout(20):
            while (got := (await stuck.message()).payload) != b"499":
                assert got.isdigit()


async def test_users_and_rules_decide_who_may_do_what(tmp_path: Path) -> None:
    access = Access(passwords(tmp_path, sensor="s3cret", app="4pp"), rules(tmp_path))
    async with (
        site(access) as here,
        raw_client(here.port, "s", user="sensor", password="s3cret") as sensor,
        raw_client(here.port, "a", user="app", password="4pp") as app,
    ):
        here.broker.listen_to("$hw/events/device/+/+/twin/+")
        await app.subscribe("$hw/#", "#")
        await sensor.subscribe("#", "$hw/#")
        app.publish(UPDATE, b"forged", qos=1)
        assert await app.receive() == (0x40, b"\0\1")
        sensor.publish(UPDATE, b"true")
        assert await app.message() == Message(UPDATE, b"true")
        assert await here.inbox.get() == (UPDATE, b"true")
        await sensor.in_step()
        for login in ({}, {"user": "app"}, {"user": "app", "password": "wrong"}):
            async with raw_client(here.port) as stranger:
                assert await stranger.log_in("x", **login) == b"\0\4"
                assert await stranger.receive() is None
        passwords(tmp_path, sensor="s3cret")
        here.broker.look()
        assert await app.receive() is None
        await sensor.in_step()


async def test_a_session_that_was_kept_is_not_given_to_another_user(tmp_path: Path) -> None:
    access = Access(passwords(tmp_path, one="1", two="2"), "")
    async with site(access) as here, raw_client(here.port, "p", user="one", password="1") as publisher:
        async with raw_client(here.port) as client:
            await client.log_in("kept", clean=False, user="one", password="1")
            await client.subscribe("secret", qos=1)
            await client.leave()
        publisher.publish("secret", b"x", qos=1)
        assert await publisher.receive() == (0x40, b"\0\1")
        async with raw_client(here.port) as thief:
            assert await thief.log_in("kept", clean=False, user="two", password="2") == b"\0\0"
            await thief.in_step()


def passwords(directory: Path, **users: str) -> str:
    """A file of users, replaced as a whole."""
    new = directory / "new"
    new.touch(mode=0o600)
    lines = []
    for name, password in users.items():
        salt = base64.b64encode(b"salt").decode()
        digest = base64.b64encode(hashlib.sha512(password.encode() + b"salt").digest()).decode()
        lines.append(f"{name}:$6${salt}${digest}\n")
    new.write_text("".join(lines))
    return str(new.replace(directory / "passwords"))


def rules(directory: Path) -> str:
    path = directory / "acl"
    path.touch(mode=0o600)
    path.write_text(
        "user sensor\ntopic write $hw/events/device/default/thermo/#\nuser app\ntopic read $hw/#\n"
    )
    return str(path)
