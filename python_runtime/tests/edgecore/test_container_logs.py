"""Text out of log files, and following them."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import pytest

from edgelab.daemon.clock import SYSTEM
from edgelab.edgecore.edged.streams.logfile import LogFile, read_log
from edgelab.edgecore.edged.streams.logtext import LogText
from edgelab.edgecore.edged.streams.options import LogOptions, log_options, ports, stream_options
from edgelab.edgecore.kubelet import Refused

NOW = dt.datetime(2026, 11, 27, 10, 0, tzinfo=dt.UTC)
TIME = "2026-11-27T09:59:{:02}.000000001Z"
CRI = (
    f"{TIME.format(1)} stdout F one\n"
    f"{TIME.format(2)} stderr P tw\n"
    f"{TIME.format(2)} stderr F o\n"
    "cut off by a cra\n"
    f"{TIME.format(3)} stdout F \n"
    f"{TIME.format(3)} stdout F:tag tagged\n"
    f"{TIME.format(4)} stdout F 2026 stdout P no part\n"
).encode()
TEXT = b"one\ntwo\n\ntagged\n2026 stdout P no part\n"
DOCKER = (
    f'{{"log":"on","stream":"stdout","time":"{TIME.format(1)}"}}\n'
    f'{{"log":"e\\u00fc\\n","stream":"stdout","time":"{TIME.format(2)}"}}\n'
    '{"log":"cut\n'
).encode()


def test_the_text_is_what_the_container_wrote() -> None:
    assert LogText(LogOptions()).feed(CRI) == TEXT
    assert LogText(LogOptions()).feed(DOCKER) == "oneü\n".encode()


def test_block_by_block_and_line_by_line_give_the_same() -> None:
    quick, slow = LogText(LogOptions()), LogText(LogOptions(timestamps=True))
    lines = CRI.splitlines(keepends=True)
    assert b"".join(quick.feed(line) for line in lines) == TEXT
    stamped = slow.feed(CRI).decode().splitlines()
    assert [line.partition(" ")[2] for line in stamped] == TEXT.decode().splitlines()
    assert stamped[1] == f"{TIME.format(2)} two"


def test_bytes_are_counted_and_times_compared() -> None:
    text = LogText(LogOptions(limit=5))
    assert text.feed(CRI) == TEXT[:5]
    assert text.full
    late = LogText(LogOptions(since=dt.datetime(2026, 11, 27, 9, 59, 3, tzinfo=dt.UTC)))
    assert late.feed(CRI) == b"\ntagged\n2026 stdout P no part\n"
    assert late.feed(CRI[:44]).startswith(b"one")


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    raw = f"{TIME.format(1)} stdout F ".encode() + b"\xff\x00\xfe\n"
    assert LogText(LogOptions()).feed(raw) == b"\xff\x00\xfe\n"


@pytest.mark.parametrize("lines", [0, 1, 2, 5, 6, 7, 4000, 9000, 20000])
def test_the_tail_begins_where_its_first_line_does(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "0.log"
    written = [f"{TIME.format(0)} stdout F {number}\n" for number in range(9000)]
    path.write_text("".join(written))
    with LogFile(path) as file:
        file.seek_tail(lines)
        found = b""
        while block := file.read():
            found += block
    assert found.decode() == "".join(written[max(0, 9000 - lines) :])


async def always() -> bool:
    return True


async def test_a_log_that_is_emptied_or_replaced_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(CRI)
    log = read_log(LogFile(path), LogOptions(follow=True), always, SYSTEM)
    assert await anext(log) == TEXT
    coming = asyncio.create_task(anext(log))
    path.write_bytes(b"")
    await asyncio.sleep(0.1)
    with path.open("ab") as file:
        file.write(CRI[:30])  # half a line is not given
        file.flush()
        await asyncio.sleep(0.1)
        assert not coming.done()
        file.write(CRI[30:])
    assert await asyncio.wait_for(coming, 10) == TEXT
    coming = asyncio.create_task(anext(log))
    path.rename(tmp_path / "0.log.old")
    await asyncio.sleep(0.1)
    path.write_bytes(CRI.replace(b"one", b"new"))
    assert await asyncio.wait_for(coming, 10) == TEXT.replace(b"one", b"new")
    await log.aclose()


async def test_what_the_runtime_still_wrote_to_a_log_that_was_put_aside_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(CRI)
    log = read_log(LogFile(path), LogOptions(follow=True), always, SYSTEM)
    assert await anext(log) == TEXT
    path.rename(tmp_path / "0.log.old")
    path.write_bytes(CRI.replace(b"one", b"new"))
    with (tmp_path / "0.log.old").open("ab") as file:
        file.write(CRI.replace(b"one", b"old"))
    found = [await asyncio.wait_for(anext(log), 10) for _ in range(2)]
    assert found == [TEXT.replace(b"one", b"old"), TEXT.replace(b"one", b"new")]
    await log.aclose()


async def test_what_is_written_at_the_end_of_a_container_is_read(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"")

    async def last_words() -> bool:
        path.write_bytes(CRI)
        return False

    log = read_log(LogFile(path), LogOptions(follow=True), last_words, SYSTEM)
    assert [chunk async for chunk in log] == [TEXT]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("follow=maybe", "follow: 'maybe' is neither"),
        ("tailLines=x", "tailLines: 'x' is no whole number"),
        ("tailLines=%E0%A5%A7", "no whole number"),
        ("limitBytes=0", "limitBytes: must be 1 or more"),
        ("sinceSeconds=-5", "sinceSeconds: must be 1 or more"),
        ("sinceTime=yesterday", "sinceTime: 'yesterday' is no time"),
        ("sinceTime=2026-01-01T00:00:00", "is no time"),
    ],
)
def test_parameters_that_make_no_sense_are_named(query: str, text: str) -> None:
    with pytest.raises(Refused, match=text) as refused:
        log_options(query, NOW)
    assert refused.value.status == 422


def test_parameters_are_read() -> None:
    found = log_options("follow=true&previous=false&tailLines=3&sinceSeconds=60&insecure=1", NOW)
    assert found == LogOptions(follow=True, tail=3, since=NOW - dt.timedelta(seconds=60))
    assert log_options("sinceSeconds=999999999999999", NOW).since is None
    streams = stream_options("command=ls&command=-l%20a&output=1&error=1&tty=1&input=0")
    assert streams.command == ("ls", "-l a")
    assert (streams.stdin, streams.stdout, streams.stderr, streams.tty) == (False, True, False, True)
    assert ports("port=80&port=443,8080") == [80, 443, 8080]
    with pytest.raises(Refused, match="'70000' is no port"):
        ports("port=70000")
