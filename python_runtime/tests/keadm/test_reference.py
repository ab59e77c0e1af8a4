"""docs/reference/keadm.md says of every command and flag what the program says."""

from __future__ import annotations

import re

import typer
from tests.keadm.reference import BEGIN, END, PAGE, commands, flags, page

from edgelab.keadm.__main__ import app

ROW = re.compile(r"^\| `keadm ([a-z -]+)` \| (.+?) \| (done|part|no) \|(.*)\|$", re.MULTILINE)
FLAG = re.compile(r"`(-{1,2}[A-Za-z-]+)`")


def test_the_list_of_commands_is_the_program_s_own() -> None:
    text = PAGE.read_text(encoding="utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0]
    assert written == page(), "run `python -m tests.keadm.reference` in python_runtime/"


def test_flags_of_kubeedge_s_keadm_that_are_said_to_be_done_are_there() -> None:
    known = {
        name.removeprefix("keadm "): {word for words, _ in flags(command) for word in words.split(", ")}
        for name, command in commands(typer.main.get_command(app))
    }
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len(rows) > 20
    for name, listed, state, _ in rows:
        if state == "no":
            assert name not in known, name
            continue
        assert name in known, name
        missing = set(FLAG.findall(listed)) - known[name]
        assert not missing, (name, missing)
