"""What macros do with lists and maps, and the environment in which expressions are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from edgelab.edgesite.apiserver.cel import dispatch, library
from edgelab.edgesite.apiserver.cel.nodes import CelError, CostExceeded
from edgelab.edgesite.apiserver.cel.values import NO_OVERLOAD, NONE, Optional, Struct, text

CALL_LIMIT = 1_000_000
STEP_COST = 3


class Environment:
    """Variables, and what has been spent."""

    __slots__ = ("cost", "limit", "names")

    def __init__(self, names: dict[str, Any], limit: int = CALL_LIMIT) -> None:
        self.names = names
        self.cost = 0
        self.limit = limit

    def spend(self, cost: int) -> None:
        """Count. Raises CostExceeded."""
        self.cost += cost
        if self.cost > self.limit:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")


Program = Callable[[Environment], Any]


def truth(value: Any) -> bool:
    """A bool. Raises CelError for anything else."""
    if not isinstance(value, bool):
        raise CelError(NO_OVERLOAD)
    return value


def _pairs(value: Any, count: int) -> Iterator[tuple[Any, ...]]:
    """What a macro's variables are set to, one after the other."""
    if isinstance(value, list):
        yield from ((item,) for item in value) if count == 1 else enumerate(value)
    elif isinstance(value, dict) and not isinstance(value, Struct):
        yield from ((key,) for key in value) if count == 1 else value.items()
    else:
        raise dispatch.not_iterable(value)


def _steps(env: Environment, value: Any, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    for pair in _pairs(value, len(names)):
        env.spend(STEP_COST)
        env.names.update(zip(names, pair, strict=True))
        yield pair


def _quantifier(winner: bool) -> Callable[..., Any]:
    def run(env: Environment, value: Any, names: tuple[str, ...], inner: list[Program]) -> Any:
        failure: CelError | None = None
        for _ in _steps(env, value, names):
            try:
                if truth(inner[0](env)) is winner:
                    return winner
            except CostExceeded:
                raise
            except CelError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not winner

    return run


def _exists_one(env: Environment, value: Any, names: tuple[str, ...], inner: list[Program]) -> Any:
    return sum(truth(inner[0](env)) for _ in _steps(env, value, names)) == 1


def _filter(env: Environment, value: Any, names: tuple[str, ...], inner: list[Program]) -> Any:
    return [pair[0] for pair in _steps(env, value, names) if truth(inner[0](env))]


def _transform_list(env: Environment, value: Any, names: tuple[str, ...], inner: list[Program]) -> Any:
    *conditions, result = inner
    return [result(env) for _ in _steps(env, value, names) if all(truth(item(env)) for item in conditions)]


def _transform_map(env: Environment, value: Any, names: tuple[str, ...], inner: list[Program]) -> Any:
    *conditions, result = inner
    return {
        pair[0]: result(env)
        for pair in _steps(env, value, names)
        if all(truth(item(env)) for item in conditions)
    }


def _transform_entries(env: Environment, value: Any, names: tuple[str, ...], inner: list[Program]) -> Any:
    *conditions, result = inner
    found: dict[Any, Any] = {}
    for _ in _steps(env, value, names):
        if all(truth(item(env)) for item in conditions):
            for key, item in result(env).items():
                if key in found:
                    raise CelError(f"insert failed: key {text(key)} already exists")
                found[key] = item
    return found


def _sort_by(env: Environment, value: Any, names: tuple[str, ...], inner: list[Program]) -> Any:
    keys = [inner[0](env) for _ in _steps(env, value, names)]
    return library.sorted_by(list(value), keys)


def _opt_map(env: Environment, value: Any, names: tuple[str, ...], inner: list[Program]) -> Any:
    if not value.present:
        return NONE
    env.names[names[0]] = value.value
    return Optional(True, inner[0](env))


def _opt_flat_map(env: Environment, value: Any, names: tuple[str, ...], inner: list[Program]) -> Any:
    if not value.present:
        return NONE
    env.names[names[0]] = value.value
    return inner[0](env)


MACROS: dict[str, Callable[..., Any]] = {
    "all": _quantifier(winner=False),
    "exists": _quantifier(winner=True),
    "existsOne": _exists_one,
    "filter": _filter,
    "map": _transform_list,
    "optFlatMap": _opt_flat_map,
    "optMap": _opt_map,
    "sortBy": _sort_by,
    "transformList": _transform_list,
    "transformMap": _transform_map,
    "transformMapEntry": _transform_entries,
}
