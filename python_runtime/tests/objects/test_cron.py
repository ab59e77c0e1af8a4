from __future__ import annotations

import datetime as dt

import pytest

from edgelab.objects.cron import duration, parse


def after(text: str, moment: str, count: int = 1) -> list[str]:
    schedule, time = parse(text), dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)
    found = []
    for _ in range(count):
        following = schedule.next(time)
        assert following is not None
        time = following
        found.append(time.strftime("%Y-%m-%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("TZ=UTC * * * * *", "2026-01-01T00:00:59", "2026-01-01 00:01:00"),
        ("TZ=UTC * * * * *", "2026-01-01T00:00:00", "2026-01-01 00:01:00"),
        ("TZ=UTC */15 * * * *", "2026-01-01T00:46:00", "2026-01-01 01:00:00"),
        ("TZ=UTC 30 6-16/4 * * 1-5", "2026-01-02T14:31:00", "2026-01-05 06:30:00"),
        ("TZ=UTC 0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29 00:00:00"),
        ("TZ=UTC 0 12 1 * mon", "2026-01-02T00:00:00", "2026-01-05 12:00:00"),
        ("TZ=UTC 0 12 1 * ?", "2026-01-02T00:00:00", "2026-02-01 12:00:00"),
        ("TZ=UTC 5/20 1 * JAN,dec SUN", "2026-01-01T00:00:00", "2026-01-04 01:05:00"),
        ("CRON_TZ=UTC @hourly", "2026-01-01T00:00:01", "2026-01-01 01:00:00"),
        ("TZ=UTC @weekly", "2026-01-01T00:00:00", "2026-01-04 00:00:00"),
        ("TZ=UTC @yearly", "2026-01-01T00:00:00", "2027-01-01 00:00:00"),
        ("TZ=Asia/Kolkata 0 9 * * *", "2026-01-01T00:00:00", "2026-01-01 03:30:00"),
        ("@every 1h30m", "2026-01-01T00:10:05", "2026-01-01 01:40:05"),
        ("@every 1ms", "2026-01-01T00:00:00", "2026-01-01 00:00:01"),
    ],
)
def test_the_next_time(text: str, moment: str, expected: str) -> None:
    assert after(text, moment) == [expected]


def test_an_hour_that_clocks_skip_is_skipped_and_one_they_repeat_counts_twice() -> None:
    assert after("TZ=Europe/Berlin 30 2 * * *", "2026-03-27T12:00:00", 3) == [
        "2026-03-28 01:30:00",
        "2026-03-30 00:30:00",
        "2026-03-31 00:30:00",
    ]
    assert after("TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00", 2) == [
        "2026-10-25 00:30:00",
        "2026-10-25 01:30:00",
    ]


def test_a_day_that_never_comes() -> None:
    assert parse("59 23 31 2 *").next(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
        ("@every 5y", 'failed to parse duration @every 5y: time: unknown unit "y" in duration "5y"'),
        ("TZ=Mars/Base * * * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared whole
        parse(text)
    assert str(caught.value) == problem


def test_durations() -> None:
    assert duration("1h30m") == 5400
    assert duration("-1.5s") == -1.5
    assert duration("0") == 0
