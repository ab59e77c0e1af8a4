"""console.yaml: every wrong value is named by its field."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgelab.console.__main__ import main
from edgelab.console.settings import Settings, read_password, validate
from edgelab.daemon.errors import Fatal
from edgelab.settings.document import parse

WRONG = [
    ("listen", [], "ADDRESS:PORT"),
    ("listen", ["127.0.0.1"], "listen[0]"),
    ("listen", ["127.0.0.1:1", "host:9190"], "listen[1]"),
    ("listen", ["[::1]:99999"], "listen[0]"),
    ("kubeConfig", "console.kubeconfig", "absolute"),
    ("timeSeries", "127.0.0.1:8428", "URL"),
    ("timeSeries", "http://me:secret@host/", "password"),
    ("passwordFile", "password", "absolute"),
    ("names", ["a b"], "names[0]"),
    ("names", ["host:80"], "names[0]"),
    ("maxClients", 0, "1 to 1000"),
    ("maxClients", 5000, "1 to 1000"),
]


def test_the_defaults_and_a_full_file_are_valid() -> None:
    assert validate(Settings()) == []
    full = {
        "listen": ["127.0.0.1:9190", "[::]:80"],
        "timeSeries": "",
        "passwordFile": "/run/credentials/x/password",
        "names": ["lab.example.com"],
        "maxClients": 1000,
    }
    assert validate(parse(yaml.safe_dump(full), Settings()).settings) == []


@pytest.mark.parametrize(("field", "value", "told"), WRONG)
def test_a_wrong_value_is_named(field: str, value: Any, told: str) -> None:
    found = [str(problem) for problem in validate(parse(yaml.safe_dump({field: value}), Settings()).settings)]
    assert len(found) == 1
    assert found[0].startswith(field)
    assert told in found[0]
    assert "secret" not in found[0] or "secret" not in str(value)


@pytest.mark.parametrize(
    ("text", "status"), [("maxClients: 5\n", 0), ("maxCleints: 5\n", 1), ("listen: 5\n", 1)]
)
def test_check_config_ends_with_a_verdict(
    text: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "console.yaml"
    file.write_text(text)
    monkeypatch.setattr(sys, "argv", ["edgelab-console", "--check-config", str(file)])
    assert main() == status
    told = capsys.readouterr()
    assert text.split(":", maxsplit=1)[0] in told.err or told.out.endswith(": ok\n")


def test_a_password_is_one_line_and_its_file_is_named_when_it_is_not(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with pytest.raises(Fatal, match=f"passwordFile {file}: No such file"):
        read_password(str(file))
    for text in ("", "\n", "a\nb\n"):
        file.write_text(text)
        with pytest.raises(Fatal, match="one line"):
            read_password(str(file))
    file.write_text("correct horse \n")
    assert read_password(str(file)) == "correct horse "
