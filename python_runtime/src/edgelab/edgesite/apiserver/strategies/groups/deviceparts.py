"""What classes, claims and slices of devices share: selectors, configuration, qualified names."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.codec import encode
from edgelab.edgesite.apiserver.invalid import Cause, bad, required, too_long, too_many
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

LONGEST_EXPRESSION = LONGEST_PARAMETERS = 10 << 10
MOST_SELECTORS, LONGEST_ID = 32, 32
EFFECTS = ["NoExecute", "NoSchedule"]
IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"


def each(
    found: list[Any] | None, path: str, check: Callable[[Any, str], list[Cause]], most: int = -1
) -> list[Cause]:
    """The items of a list, and how many there may be."""
    items = found or []
    causes = [cause for position, item in enumerate(items) for cause in check(item, f"{path}[{position}]")]
    return causes + ([too_many(path, len(items), most)] if 0 <= most < len(items) else [])


def selectors(found: list[Obj] | None, path: str) -> list[Cause]:
    """Expressions that choose devices."""
    return each(found, path, _selector, MOST_SELECTORS)


def _selector(found: Obj, path: str) -> list[Cause]:
    expression = found.get("cel")
    if expression is None:
        return [required(f"{path}.cel")]
    source, field = expression.get("expression") or "", f"{path}.cel.expression"
    if len(source.encode()) > LONGEST_EXPRESSION:
        return [too_long(field, LONGEST_EXPRESSION)]
    problem = _compiled(source)
    return [bad(field, source, problem)] if problem else []


@functools.lru_cache(maxsize=128)
def _compiled(source: str) -> str:
    """What is wrong with an expression about a device."""
    from edgelab.edgesite.apiserver.cel import types  # noqa: PLC0415 - rarely needed
    from edgelab.edgesite.apiserver.cel.checker import check  # noqa: PLC0415
    from edgelab.edgesite.apiserver.cel.nodes import Failures  # noqa: PLC0415
    from edgelab.edgesite.apiserver.cel.parser import parse  # noqa: PLC0415

    def by_domain(value: types.Type) -> types.Type:
        return types.map_of(types.STRING, types.map_of(types.STRING, value))

    fields = {
        "driver": types.STRING,
        "attributes": by_domain(types.DYN),
        "capacity": by_domain(types.OPAQUE["Quantity"]),
        "allowMultipleAllocations": types.BOOL,
    }
    device = types.Type("struct", name="kubernetes.DRADevice", fields=fields)
    try:
        result, _ = check(source, parse(source), {"device": device})
    except Failures as failures:
        return f"compilation failed: {failures.shown()}"
    if result.kind in ("bool", "dyn"):
        return ""
    return f"must evaluate to bool or the unknown type, not {result}"


def opaque(found: Obj, path: str) -> list[Cause]:
    """Configuration that a driver reads."""
    inner = found.get("opaque")
    if inner is None:
        return [required(f"{path}.opaque")]
    causes = checks.csi_driver_name(inner.get("driver") or "", f"{path}.opaque.driver")
    parameters, field = inner.get("parameters"), f"{path}.opaque.parameters"
    if parameters is None:
        return [*causes, required(field)]
    if len(encode(parameters)) > LONGEST_PARAMETERS:
        return [*causes, too_long(field, LONGEST_PARAMETERS)]
    if not isinstance(parameters, dict):
        shown = bad(field, "<value omitted>", "must be a valid JSON object")
        return [*causes, shown]
    return causes


def toleration(found: Obj, path: str) -> list[Cause]:
    """A taint of devices that is put up with."""
    key, operator, value = (found.get(field) or "" for field in ("key", "operator", "value"))
    causes = checks.label_name(key, f"{path}.key") if key else []
    if operator == "Exists":
        text = "must be empty for operator `Exists`"
        causes += [bad(f"{path}.value", value, text)] if value else []
    elif operator == "Equal":
        causes += checks.texts(names.label_value, value, f"{path}.value")
    else:
        causes += checks.choice(operator, f"{path}.operator", ["Equal", "Exists"])
    effect = found.get("effect") or ""
    return causes + (checks.choice(effect, f"{path}.effect", EFFECTS) if effect else [])


def identifier(value: str, path: str) -> list[Cause]:
    """An identifier as in C."""
    causes = [too_long(path, LONGEST_ID)] if len(value.encode()) > LONGEST_ID else []
    if re.fullmatch(IDENTIFIER, value):
        return causes
    text = "a valid C identifier must start with alphabetic character or '_', followed by a string of"
    text += " alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for"
    text += f" validation is '{IDENTIFIER}')"
    return [*causes, bad(path, value, text)]


def qualified_name(value: str, path: str) -> list[Cause]:
    """`id` or `domain/id`."""
    if not value:
        return [required(path, "name required")]
    parts = value.split("/")
    if len(parts) == 1:
        return identifier(value, path)
    if len(parts) != 2:
        return []
    domain, name = parts
    empty = required(path, "the domain must not be empty")
    causes = checks.csi_driver_name(domain, path) if domain else [empty]
    return causes + (identifier(name, path) if name else [required(path, "the name must not be empty")])


def full_name(value: str, path: str) -> list[Cause]:
    """`domain/id`."""
    causes = qualified_name(value, path)
    return causes + ([bad(path, value, "must include a domain")] if value and "/" not in value else [])
