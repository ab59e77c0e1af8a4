"""Expressions whose cost kube-apiserver estimates as too high to be recorded, and limits of cost."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.edgesite.apiserver.cel.comprehensions import Environment
from edgelab.edgesite.apiserver.cel.nodes import CelError, CostExceeded
from edgelab.edgesite.apiserver.cel.programs import compile_rule
from edgelab.edgesite.apiserver.cel.schematypes import self_type, value_for
from edgelab.edgesite.apiserver.custom import rules

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "list": {"type": "array", "items": {"type": "integer"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {"x-kubernetes-int-or-string": True},
        "text": {"type": "string"},
    },
}
VALUE = {"list": [3, 1, 2], "set": ["a", "b"], "map": {"k": "v"}, "any": 5, "text": "a,b,c"}


def evaluate(source: str, limit: int = 1_000_000) -> Any:
    found = self_type(SCHEMA, root=False)
    assert found is not None
    compiled = compile_rule({"rule": source}, found)
    assert compiled.error == ""
    assert compiled.program is not None
    return compiled.program(Environment({"self": value_for(VALUE, SCHEMA)}, limit))


@pytest.mark.parametrize(
    "source",
    [
        "self.text.split(',') == ['a', 'b', 'c']",
        "self.text.split(',', 2) == ['a', 'b,c']",
        "self.text.split(',', 0) == []",
        "self.text.split('').size() == 5",
        "self.text.findAll('[a-z]') == ['a', 'b', 'c']",
        "self.text.findAll('[a-z]', 2).join('-') == 'a-b'",
        "self.list.sort() == [1, 2, 3]",
        "self.list.sortBy(x, -x) == [3, 2, 1]",
        "self.list.sum() + self.list.max() - self.list.min() == 8",
        "self.list.map(x, x * x).exists(x, x == 9)",
        "self.list.all(i, v, i < 3 && v > 0)",
        "self.list.transformMap(i, v, v)[0] == 3",
        "self.set == ['b', 'a']",
        "(self.set + ['b', 'c']).size() == 3",
        "self.map.all(k, self.map[k] == 'v') && self.map.exists(k, v, v == k || k == 'k')",
        "self.?map['z'].orValue('none') == 'none'",
        "self.any > 4 && type(self.any) == int && self.any != 'five'",
        "false && 1 / 0 == 1 || true",
        "'ä'.size() == 1 && b'ä'.size() == 2",
        "[1, 2].first().value() == 1 && ![].first().hasValue()",
        "duration('90m') == duration('1h30m') && duration('1h').getMinutes() == 60",
        "timestamp('2024-03-31T01:30:00Z').getHours('Europe/Berlin') == 3",
        "string(timestamp('2024-02-28T23:00:00Z') + duration('2h')) == '2024-02-29T01:00:00Z'",
        "-7 / 2 == -3 && -7 % 3 == -1 && 7.0 / 2.0 == 3.5",
        "quantity('1Gi').isGreaterThan(quantity('1G'))",
        "quantity('1').add(quantity('500m')) == quantity('1500m')",
        "cidr('2001:db8::/32').containsIP('2001:db8::1') && !cidr('10.0.0.0/8').containsIP('::1')",
        "semver('1.2.3-rc.2').isGreaterThan(semver('1.2.3-rc.1')) && semver('v1', true).minor() == 0",
        "url('https://[::1]:8443/a?x=1#f').getHostname() == '::1'",
        "format.dns1123Label().validate('ok') == optional.none()",
    ],
)
def test_expressions_are_true(source: str) -> None:
    assert evaluate(source) is True


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("self.any + 1 > 2 && self.any < 'a'", "no such overload"),
        ("self.list.all(x, 10 / (x - 3) < 100)", "division by zero"),
        ("self.map['missing'] == ''", "no such key: missing"),
        ("9223372036854775807 + self.list[0] > 0", "integer overflow"),
        ("self.list.slice(2, 9) == []", "cannot slice(2, 9), list is length 3"),
    ],
)
def test_errors_have_the_words_of_the_real_one(source: str, message: str) -> None:
    with pytest.raises(CelError, match=message.replace("(", r"\(").replace(")", r"\)")):
        evaluate(source)


def test_an_expression_stops_when_it_has_cost_too_much() -> None:
    source = "self.list.all(x, self.list.all(y, self.list.all(z, x + y + z > 0)))"
    assert evaluate(source) is True
    with pytest.raises(CostExceeded):
        evaluate(source, limit=50)


def test_an_object_stops_being_checked_when_its_rules_have_cost_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "BUDGET", 20)
    many = [{"rule": "self.list.all(x, x > 0)"} for _ in range(3)]
    found = rules.for_schema({**SCHEMA, "x-kubernetes-validations": many})
    assert found is not None
    [cause], _ = found.check(VALUE, None, None)
    assert "running out of cost budget" in cause.message
