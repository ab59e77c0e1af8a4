"""`keadm mqtt publish` without a broker: what is refused before, and what --check tells.

What it says to a real Mosquitto is in tests/component/keadm.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.keadm.conftest import Keadm

from edgelab.keadm.mqtt.requests import filter_problem, topic_problem


@pytest.fixture
def publish(keadm: Keadm) -> Keadm:
    def run(*words: str | Path, stdin: str = "") -> tuple[int, dict[str, Any]]:
        return keadm("mqtt", "publish", *words, stdin=stdin)

    return run


def test_check_tells_what_would_be_published_and_asks_no_broker(publish: Keadm) -> None:
    status, told = publish("--topic", "a/b", "-m", "grüß", "--retain", "-q", "2", "--check", "--port", "1")
    assert status == 0
    assert told == {
        "changed": True,
        "broker": "127.0.0.1:1",
        "topic": "a/b",
        "size": 6,
        "qos": 2,
        "retain": True,
    }


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ((), "127.0.0.1:1883"),
        (("--tls",), "127.0.0.1:8883"),
        (("--host", "::1", "--cafile", __file__), "[::1]:8883"),
        (("--tls", "--port", "1883"), "127.0.0.1:1883"),
    ],
)
def test_the_port_follows_from_tls_unless_it_is_given(
    publish: Keadm, words: tuple[str, ...], address: str
) -> None:
    assert publish("--topic", "a", "--check", *words)[1]["broker"] == address


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--topic", "a/+"), "--topic 'a/+': + and # are for subscriptions"),
        (("--topic", ""), "--topic '': it is empty"),
        (("--topic", "a", "--wait-for", "a/#/b"), "--wait-for 'a/#/b': # is the whole last level"),
        (("--topic", "a", "--host", ""), "--host is empty"),
        (("--topic", "a", "--cafile", "/none/ca"), "--cafile /none/ca: No such file"),
        (("--topic", "a", "--cert", __file__), "--cert and --key belong together"),
        (("--topic", "a", "--password-file", "/none/pw"), "--password-file /none/pw: No such file"),
        (("--topic", "a", "--password-file", __file__), "without --username"),
        (("--topic", "a", "--request", "-", "-m", "x"), "leave out --message"),
        (("--topic", "a", "--cafile", __file__), f"--cafile {__file__}: no certificate"),
        (("--topic", "a", "--cert", __file__, "--key", __file__), f"--cert {__file__}, --key"),
    ],
)
def test_what_cannot_be_published_is_refused_by_its_flag(
    publish: Keadm, words: tuple[str, ...], message: str
) -> None:
    status, told = publish(*words)
    assert status == 1
    assert message in told["error"]


@pytest.mark.parametrize("request_", ["{", "[]", '{"payload": 1}', '{"pass": "x"}', '{"password": null}'])
def test_a_request_that_is_none_is_refused(publish: Keadm, request_: str) -> None:
    status, told = publish("--topic", "a", "--request", "-", stdin=request_)
    assert status == 1
    assert told["error"].startswith("--request: ")


def test_payload_and_password_come_through_stdin_and_are_not_told(publish: Keadm) -> None:
    request = json.dumps({"payload": "p4yload", "password": "hunter2"})
    words = ("--topic", "a", "--username", "u", "--request", "-")
    status, told = publish(*words, "--check", stdin=request)
    assert (status, told["size"]) == (0, 7)
    assert "p4yload" not in json.dumps(told)
    assert "hunter2" not in json.dumps(told)


def test_a_broker_that_is_not_there_is_named(publish: Keadm) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    status, told = publish("--topic", "a", "--port", str(port))
    assert status == 1
    assert told["error"] == f"MQTT broker 127.0.0.1:{port}: Connection refused"


@contextmanager
def scripted(*answers: bytes) -> Iterator[int]:
    """A broker that says these words, one after each packet, and hangs up; its port."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            for answer in answers:
                connection.recv(4096)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


LET_IN = b"\x20\x02\x00\x00"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((b"\x20\x02\x00\x05",), "it refused the connection: Not authorized"),
        ((LET_IN, b"\x90\x03\x00\x01\x80"), "it refused the subscription: the user may not read that topic"),
        ((LET_IN,), "the subscription to b was not confirmed, the connection ended"),
        ((), "the broker did not let us in, the connection ended"),
    ],
)
def test_what_a_broker_refuses_is_told_in_one_line(
    publish: Keadm, answers: tuple[bytes, ...], message: str
) -> None:
    with scripted(*answers) as port:
        status, told = publish("--topic", "a", "--wait-for", "b", "--port", str(port), "--timeout", "60")
    assert status == 1
    assert told["error"].startswith(f"MQTT broker 127.0.0.1:{port}: {message}")


def test_a_runtime_without_mqtt_says_who_has_it(publish: Keadm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "edgelab.keadm.mqtt.exchange", raising=False)
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    status, told = publish("--topic", "a")
    assert status == 1
    assert "paho-mqtt" in told["error"]


@pytest.mark.parametrize("topic", ["#", "+", "a/+/b/#", "a", "/", "$hw/events/device/+/+/twin/+"])
def test_filters_that_can_be_subscribed_to(topic: str) -> None:
    assert filter_problem(topic) == ""


@pytest.mark.parametrize("topic", ["", "a#", "#/a", "a+/b", "a\0", "a" * 65536])
def test_filters_and_topics_that_cannot_be(topic: str) -> None:
    assert filter_problem(topic)
    assert topic_problem(topic)
