"""The filter mqtt_passwords writes what Mosquitto accepts."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.edgelab.kubeedge.plugins.filter.mqtt_passwords import mqtt_passwords

ACCEPTED_BY_MOSQUITTO = (
    "edge:$7$101$sYSGH7uj37zDYa1L$"
    "yg8zMzaS7ex7tKRu4wa7/lV3aqShFieVXs/KtyrxSeWcH5XGIZJwGq4Aq3CsaSJof56lY7gqY+4nGdEUaezYnQ==\n"
)
"""Mosquitto 2.0.11 lets a client in with this line and the password, and not with another one."""


def test_a_line_is_one_that_mosquitto_accepts() -> None:
    assert mqtt_passwords({"edge": "right-secret"}, "edge1") == ACCEPTED_BY_MOSQUITTO


def test_a_second_run_finds_the_file_as_it_is_and_hosts_and_users_differ() -> None:
    users = {"b": "same", "a": "same"}
    text = mqtt_passwords(users, "edge1")
    assert text == mqtt_passwords(dict(reversed(users.items())), "edge1")
    hashes = {line.partition(":")[2] for line in (text + mqtt_passwords(users, "edge2")).splitlines()}
    assert len(hashes) == 4
    assert [line.partition(":")[0] for line in text.splitlines()] == ["a", "b"]


def test_nobody_gives_an_empty_file() -> None:
    assert mqtt_passwords({}, "edge1") == ""


@pytest.mark.parametrize("users", [{"": "x"}, {"a:b": "x"}, {"a\nb": "x"}, {"a": ""}, {"a": 5}])
def test_what_the_file_cannot_hold_is_refused_and_the_password_not_shown(users: dict[str, object]) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        mqtt_passwords(users, "edge1")
    assert "5" not in str(caught.value)
