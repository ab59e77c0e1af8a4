from __future__ import annotations

import base64
import hashlib
import logging
import shutil
import subprocess
from pathlib import Path

import pytest

from edgelab.daemon.errors import Fatal
from edgelab.edgecore.eventbus.broker.access import Access
from edgelab.edgecore.eventbus.broker.acl import read_acl

RULES = """
# without a name
topic read public/#

user sensor
topic write $hw/events/device/default/thermo/#
topic readwrite shared/room one
topic deny $hw/events/device/default/thermo/state/update

user boss
topic #
topic $hw/#

pattern read $hw/events/device/default/%u/twin/update/result
pattern own/%c/#
"""


def private(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("right", "user", "client", "topic", "allowed"),
    [
        ("read", "", "x", "public/a", True),
        ("write", "", "x", "public/a", False),
        ("write", "sensor", "x", "$hw/events/device/default/thermo/twin/update", True),
        ("read", "sensor", "x", "$hw/events/device/default/thermo/twin/update", False),
        ("write", "sensor", "x", "$hw/events/device/default/thermo/state/update", False),
        ("write", "sensor", "x", "$hw/events/device/default/other/twin/update", False),
        ("read", "sensor", "x", "shared/room one", True),
        ("read", "sensor", "x", "public/a", False),
        ("write", "boss", "x", "$hw/events/device/default/other/twin/update", True),
        ("read", "pump", "x", "$hw/events/device/default/pump/twin/update/result", True),
        ("read", "+", "x", "$hw/events/device/default/pump/twin/update/result", False),
        ("read", "", "x", "$hw/events/device/default//twin/update/result", False),
        ("write", "", "c1", "own/c1/a", True),
        ("write", "", "c2", "own/c1/a", False),
        ("write", "", "#", "own/c1/a", False),
    ],
)
def test_rules_decide_as_mosquitto_does(
    right: str, user: str, client: str, topic: str, allowed: bool
) -> None:
    assert read_acl(RULES).allows(right, user, client, topic) is allowed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("user a\ntopik x", "line 2"),
        ("topic read a/#/b", "line 1"),
        ("user", "line 1"),
        ("topic read", "line 1"),
    ],
)
def test_a_rule_that_cannot_be_understood_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_acl(text)


def test_without_files_everyone_may_do_everything() -> None:
    access = Access("", "")
    assert access.anonymous
    assert access.may_log_in(None, None)
    assert access.allows("write", "", "c", "$hw/events/device/x/y/twin/update")
    assert access.knows("whoever")


def test_a_password_of_mosquitto_passwd_is_accepted_and_no_other(tmp_path: Path) -> None:
    path = private(tmp_path / "passwords", "")
    tool = shutil.which("mosquitto_passwd")
    assert tool, "apt install mosquitto"
    subprocess.run([tool, "-b", path, "edge", "right-secret"], check=True)
    access = Access(path, "")
    assert not access.anonymous
    assert access.may_log_in("edge", b"right-secret")
    for user, password in (("edge", b"wrong"), ("edge", None), (None, b"right-secret"), ("other", b"")):
        assert not access.may_log_in(user, password)
    assert access.knows("edge")
    assert not access.knows("other")


def test_a_password_of_mosquitto_1_is_accepted(tmp_path: Path) -> None:
    salt = b"123456789012"
    digest = base64.b64encode(hashlib.sha512(b"old-secret" + salt).digest()).decode()
    line = f"edge:$6${base64.b64encode(salt).decode()}${digest}\n"
    access = Access(private(tmp_path / "passwords", line), "")
    assert access.may_log_in("edge", b"old-secret")
    assert not access.may_log_in("edge", b"old-secreT")


@pytest.mark.parametrize(
    "line", ["edge:plain", "edge", "edge:$7$x$YQ==$YQ==", "edge:$7$999999$YQ==$YQ==", "e:$7$9$?$?"]
)
def test_a_file_of_passwords_that_cannot_be_read_ends_the_start_with_the_line_but_not_its_text(
    tmp_path: Path, line: str
) -> None:
    path = private(tmp_path / "passwords", f"# users\n{line}\n")
    with pytest.raises(Fatal, match=r"edgelab\.mqtt\.passwordFile: .*passwords, line 2") as caught:
        Access(path, "")
    assert "plain" not in str(caught.value)


def test_files_that_others_can_read_or_that_are_missing_are_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "acl", "topic #")
    (tmp_path / "acl").chmod(0o640)
    with pytest.raises(Fatal, match=r"edgelab\.mqtt\.aclFile: .* \(mode 0640\): chmod 600 "):
        Access("", path)
    with pytest.raises(Fatal, match="No such file"):
        Access("", str(tmp_path / "missing"))


def test_changed_files_are_taken_over_and_broken_ones_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "acl"
    access = Access("", private(path, "topic read a"))
    assert not access.refresh()
    assert access.allows("read", "", "c", "a")
    replace(path, "topic read b")
    assert access.refresh()
    assert not access.allows("read", "", "c", "a")
    assert access.allows("read", "", "c", "b")
    with caplog.at_level(logging.WARNING):
        replace(path, "nonsense")
        assert not access.refresh()
        path.unlink()
        assert [access.refresh() for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 2
    assert access.allows("read", "", "c", "b")


def replace(path: Path, text: str) -> None:
    """As a careful editor does: the inode differs, however coarse the times of files are."""
    new = path.with_name("new")
    private(new, text)
    new.replace(path)
