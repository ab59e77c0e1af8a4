"""mqtt_publish: what it asks of keadm, and that neither payload nor password are arguments."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.modules import mqtt_publish

from tests.unit.module_harness import REAL_KEADM, FakeKeadm, run

GET = "$hw/events/device/default/cellar/twin/get"
TOLD = {"changed": True, "broker": "127.0.0.1:1883", "topic": GET, "size": 2, "qos": 1, "retain": False}


def test_a_message_goes_through_stdin_and_the_answer_comes_back(keadm: FakeKeadm) -> None:
    answer = {"topic": f"{GET}/result", "payload": '{"twin": {}}', "json": {"twin": {}}, "qos": 1}
    keadm.answer(default={**TOLD, "answer": answer})
    result = run(
        mqtt_publish,
        topic=GET,
        payload={"event_id": "", "n": 1},
        wait_for=f"{GET}/result",
        keadm=str(keadm.path),
    )
    [(words, stdin)] = keadm.calls
    assert words == [
        *("mqtt", "publish", "--topic", GET, "--request", "-"),
        *("--host", "127.0.0.1", "--qos", "1", "--wait-for", f"{GET}/result", "--timeout", "10"),
        *("--output", "json"),
    ]
    assert json.loads(stdin) == {"payload": '{"event_id":"","n":1}', "password": ""}
    assert (result["changed"], result["answer"]) == (True, answer)
    assert (result["topic"], result["payload"]) == (GET, '{"event_id":"","n":1}')


def test_every_option_of_the_broker_reaches_keadm_and_the_password_no_argument(keadm: FakeKeadm) -> None:
    keadm.answer(default=TOLD)
    files = {"ca_cert": "/ca", "client_cert": "/cert", "client_key": "/key"}
    login = {"username": "site", "password": "hunter2"}
    broker = {"host": "broker", "port": 8884, "tls": True, "qos": 2, "retain": True, "timeout": 3}
    result = run(mqtt_publish, topic="a", payload="x", keadm=str(keadm.path), **files, **login, **broker)
    [(words, stdin)] = keadm.calls
    assert words[6:-2] == [
        *("--host", "broker", "--port", "8884", "--qos", "2", "--timeout", "3", "--username", "site"),
        *("--cafile", "/ca", "--cert", "/cert", "--key", "/key", "--retain", "--tls"),
    ]
    assert json.loads(stdin) == {"payload": "x", "password": "hunter2"}
    assert "hunter2" not in json.dumps([words, result])


@pytest.mark.parametrize(
    ("payload", "text"),
    [("", ""), ("21.5", "21.5"), ({"a": None}, '{"a":null}'), ([1], "[1]"), (True, "true"), (21.5, "21.5")],
)
def test_what_is_no_text_is_sent_as_json(keadm: FakeKeadm, payload: Any, text: str) -> None:
    keadm.answer(default=TOLD)
    run(mqtt_publish, topic="a", payload=payload, keadm=str(keadm.path))
    assert json.loads(keadm.calls[0][1])["payload"] == text


def test_check_mode_of_the_real_keadm_tells_what_would_be_published(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("")
    files = {"ca_cert": tmp_path / "ca", "client_cert": tmp_path / "cert", "client_key": tmp_path / "key"}
    options: dict[str, Any] = {key: str(path) for key, path in files.items()}
    options |= {"username": "u", "password": "p", "wait_for": "b/#", "retain": True, "qos": 0}
    result = run(
        mqtt_publish,
        topic="a",
        payload={"n": 1},
        **options,
        keadm=str(REAL_KEADM),
        _ansible_check_mode=True,
        _ansible_diff=True,
    )
    assert (result["failed"], result["changed"]) == (False, True), result
    assert (result["broker"], result["payload"], result["retain"]) == ("127.0.0.1:8883", '{"n":1}', True)
    assert "answer" not in result
    assert result["diff"] == {"before": "", "after": '{"n":1}\n', "after_header": "a"}


def test_what_the_real_keadm_refuses_is_named(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options: dict[str, Any] = {"payload": "x", "keadm": str(REAL_KEADM), "port": port}
    wrong = run(mqtt_publish, topic="a/+", **options, _ansible_check_mode=True)
    assert wrong["msg"].startswith("mqtt_publish: --topic 'a/+': ")
    away = run(mqtt_publish, topic="a", **options)
    assert away["msg"] == f"mqtt_publish: MQTT broker 127.0.0.1:{port}: Connection refused"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"client_cert": "/c"}, "client_cert, client_key"),
        ({"password": "p"}, "username"),
        ({"qos": 3}, "qos"),
    ],
)
def test_options_that_belong_together(keadm: FakeKeadm, options: dict[str, Any], message: str) -> None:
    result = run(mqtt_publish, topic="a", payload="x", keadm=str(keadm.path), **options)
    assert (result["failed"], keadm.calls) == (True, [])
    assert message in result["msg"]


def test_check_mode_before_anything_is_installed(tmp_path: Path) -> None:
    result = run(mqtt_publish, topic="a", payload="x", keadm=str(tmp_path / "none"), _ansible_check_mode=True)
    assert (result["changed"], result["failed"], result["payload"]) == (True, False, "x")
    assert "is not there yet" in result["msg"]
