"""Whether what is said of a device can be: by itself, and by its DeviceModel."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from edgelab.keadm.devices.twins import by_name
from edgelab.kube.interface import Obj
from edgelab.protocol.twin import normal_type, value_problem

CYCLES = ("collectCycle", "reportCycle")
NUMBERS = ("int", "float")


def problems(spec: Obj, model: Obj | None) -> list[tuple[str, str]]:
    """Each field that is wrong, and why. Without a model only what can be told without one."""
    return [*_names(spec), *_cycles(spec), *(_against(spec, model) if model else ())]


def _names(spec: Obj) -> Iterator[tuple[str, str]]:
    for part in ("properties", "methods"):
        seen: set[str] = set()
        for number, item in enumerate(spec.get(part) or []):
            name = item.get("name")
            if not name:
                yield f"spec.{part}[{number}].name", "is missing"
            elif name in seen:
                yield f"spec.{part}[{number}].name", f"{name!r} is there twice"
            seen.add(name)


def _cycles(spec: Obj) -> Iterator[tuple[str, str]]:
    for number, item in enumerate(spec.get("properties") or []):
        for key in CYCLES:
            if (item.get(key) or 0) < 0:
                yield f"spec.properties[{number}].{key}", f"{item[key]} ms is less than nothing"


def _against(spec: Obj, model: Obj) -> Iterator[tuple[str, str]]:
    known = by_name((model.get("spec") or {}).get("properties"))
    told = f"DeviceModel {model['metadata']['name']} has {', '.join(known) or 'no properties'}"
    for number, item in enumerate(spec.get("properties") or []):
        where = f"spec.properties[{number}]"
        name = str(item.get("name") or "")
        if name and name not in known:
            yield f"{where}.name", f"{name!r} is no property of the model: {told}"
        elif item.get("desired") is not None and name:
            problem = _desired(known[name], str(item["desired"].get("value", "")))
            if problem:
                yield f"{where}.desired", f"{name}: {problem}"
    for number, method in enumerate(spec.get("methods") or []):
        for name in method.get("propertyNames") or []:
            if name not in known:
                yield f"spec.methods[{number}].propertyNames", f"{name!r} is no property of the model: {told}"


def _desired(kind: Obj, value: str) -> str:
    """Why the property cannot be told to have this value; empty when it can."""
    if kind.get("accessMode") == "ReadOnly":
        return "the model says ReadOnly, nothing can be desired of it"
    name = str(kind.get("type") or "")
    if problem := value_problem(normal_type(name), value):
        return f"{value!r} is no {name}: {problem}"
    return _range(kind, value) if normal_type(name) in NUMBERS else ""


def _range(kind: Obj, value: str) -> str:
    number, least, most = (_number(text) for text in (value, kind.get("minimum"), kind.get("maximum")))
    if number is None:
        return ""
    if least is not None and number < least:
        return f"{value} is less than the model's minimum {kind['minimum']}"
    if most is not None and number > most:
        return f"{value} is more than the model's maximum {kind['maximum']}"
    return ""


def _number(text: str | None) -> Decimal | None:
    """A number to compare with; None for what is none, such as `nan`."""
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        return None
    return None if number.is_nan() else number
