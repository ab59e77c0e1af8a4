"""A body means the same in the form that programs write, which msgspec reads, and in any other form."""

from __future__ import annotations

import pytest

from edgelab.edgesite.apiserver.bodies import decode_json
from edgelab.edgesite.apiserver.gojson import JsonError

BODIES = (
    '{"a":1}',
    '{"a":1}\n',
    '{"a":1,"a":2}',
    '{"a":{"b":1},"a":{"c":2}}',
    '{"a":[{"b":1,"b":1}]}',
    '{"a":1,"\\u0061":2}',
    '{"a":1.0,"b":1e5,"c":-0,"d":-0.0,"e":0.1,"f":5e-324,"g":1e22}',
    '{"a":18446744073709551615,"b":18446744073709551616,"c":123456789012345678901234567890}',
    '{"a":-9223372036854775808,"b":-9223372036854775809}',
    '{"a":10000000000000000.0,"b":123456789.123456789}',
    '{"a":1e400}',
    '{"a":NaN}',
    '{"a":01}',
    '{"a":1.}',
    '{"a":"<&>"}',
    '{"a":"\\u003c\\/\\u2028"}',
    '{"a":"\u2028é\x7f"}',
    '{"a":"\\ud800"}',
    '{"a":"\\udbff\\udfff"}',
    '{"a":"\x01"}',
    '{"a":1}\x0b',
    '{"":{"":[]}}',
    '{"a":[1,2,]}',
    '{"a":tru}',
    "[" * 400 + "]" * 400,
    "[" * 20_000 + "]" * 20_000,
    '[1,"a",true,null]',
    "null",
    "",
)


def _outcome(body: bytes) -> str:
    try:
        return repr(decode_json(body))
    except JsonError as error:
        return str(error)


@pytest.mark.parametrize(
    "body", [*(text.encode() for text in BODIES), b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}']
)
def test_the_form_of_a_body_makes_no_difference(body: bytes) -> None:
    assert _outcome(body) == _outcome(b" " + body)


def test_repeated_keys_are_told_in_every_form() -> None:
    repeated = ['duplicate field "a.b"', 'duplicate field "c"']
    value = {"a": {"b": 2}, "c": {"d": 1, "e": 2}}
    for body in (
        b'{"a":{"b":1,"b":2},"c":{"d":1},"c":{"e":2}}',
        b'{"a": {"b":1,"b":2},"c":{"d":1},"c":{"e":2}}',
    ):
        assert decode_json(body) == (value, repeated)
