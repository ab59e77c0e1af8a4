"""Expressions of admission on one request: values, budgets, errors (`admission/plugin/cel/condition.go`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from edgelab.edgesite.apiserver.cel.comprehensions import Environment
from edgelab.edgesite.apiserver.cel.expressions import Expression
from edgelab.edgesite.apiserver.cel.nodes import CelError

Obj = dict[str, Any]

BUDGET, CONDITIONS_BUDGET = 10_000_000, 2_500_000
SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"


class OutOfBudget(Exception):
    """Nothing is evaluated any more."""


class Result(NamedTuple):
    """A value, or why there is none."""

    value: Any = None
    error: str = ""


class Run:
    """Evaluations that share a budget and the values of a policy's variables."""

    def __init__(
        self, names: Obj, budget: int, variables: Sequence[tuple[str, Expression]] | None = None
    ) -> None:
        self.left = budget
        self._names = names
        if variables is not None:
            self._names = {**names, "variables": _Variables(self, dict(variables))}

    def evaluate(self, expression: Expression) -> Result:
        """One expression. Raises OutOfBudget."""
        if expression.program is None:
            return Result(error=f"compilation error: {expression.error}")
        environment = Environment(dict(self._names))
        try:
            result = Result(expression.program(environment))
        except CelError as error:
            result = Result(error=f"expression '{expression.source}' resulted in error: {error}")
        self.left -= environment.cost
        if self.left < 0:
            raise OutOfBudget(SPENT)
        return result

    def variable(self, name: str, expression: Expression) -> Any:
        """The value of a variable. Raises CelError."""
        if expression.program is None:
            raise CelError(f'composited variable "{name}" fails to compile: {expression.error}')
        environment = Environment(dict(self._names))
        try:
            return expression.program(environment)
        except CelError as error:
            raise CelError(f'composited variable "{name}" fails to evaluate: {error}') from error
        finally:
            self.left -= environment.cost


class _Variables(dict[str, Any]):
    """Variables, evaluated when they are first asked for."""

    def __init__(self, run: Run, expressions: dict[str, Expression]) -> None:
        super().__init__(dict.fromkeys(expressions))
        self._run = run
        self._expressions = expressions
        self._found: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            try:
                self._found[name] = self._run.variable(name, self._expressions[name])
            except CelError as error:
                self._found[name] = error
        if isinstance(self._found[name], CelError):
            raise self._found[name]
        return self._found[name]


class Unmet(NamedTuple):
    """Why a request is not looked at: conditions that do not hold, or errors in them."""

    error: str = ""


def unmet(conditions: Iterable[Expression], run: Run) -> Unmet | None:
    """The matcher of conditions: one that is false decides, whatever is wrong with others."""
    errors: list[str] = []
    try:
        results = [run.evaluate(condition) for condition in conditions]
    except OutOfBudget as error:
        return Unmet(str(error))
    for result in results:
        if result.error:
            errors.append(result.error)
        elif result.value is False:
            return Unmet()
    errors = list(dict.fromkeys(errors))
    if not errors:
        return None
    return Unmet(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
