"""Devices and device models (devices.kubeedge.io/v1beta1) out of a module's options.

Options are spelled as the fields of the objects, so that parts of a manifest can be pasted; an option that
is not given is no field.
"""

from __future__ import annotations

import re

API_VERSION = "devices.kubeedge.io/v1beta1"
TYPES = ("INT", "FLOAT", "DOUBLE", "STRING", "BOOLEAN", "BYTES", "STREAM")
ACCESS_MODES = ("ReadOnly", "ReadWrite")
NUMBERS = ("INT", "FLOAT", "DOUBLE")
NAME = re.compile(r"[a-zA-Z0-9\-_.,:/@#]{1,128}")
"""What DeviceTwin takes for a property's name (KubeEdge `edge/pkg/devicetwin/dtcommon`)."""
VISITORS = {"protocolName": {"type": "str"}, "configData": {"type": "dict"}}


class FieldError(Exception):
    """An option that cannot be; the message begins with its name."""


def given(options):
    """The options that were given, those of dictionaries of options below them as well."""
    return {key: value for key, value in (options or {}).items() if value is not None}


def given_parts(options, parts):
    """The same where `parts` are dictionaries with options of their own."""
    found = given(options)
    return {key: given(value) if key in parts else value for key, value in found.items()}


def manifest(kind, params, spec=None):
    """An object of the API, with the labels and annotations that were given; without a spec enough of one to
    be deleted."""
    metadata = {"name": params["name"], "namespace": params["namespace"]}
    for field in ("labels", "annotations") if spec is not None else ():
        if params.get(field):
            metadata[field] = {key: text_of(value, f"{field}.{key}") for key, value in params[field].items()}
    made = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata}
    return made if spec is None else dict(made, spec=spec)


def text_of(value, field):
    """A value as KubeEdge writes it, whose values are all text. Raises FieldError."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise FieldError(f"{field}: expected a text, a number, true or false, not {type(value).__name__}")


def model_property(options):
    """An entry of a DeviceModel's `spec.properties`."""
    return given_parts(options, ("visitors",))


def check_model_properties(properties):
    """Raises FieldError for the first that cannot be."""
    names = set()
    for number, one in enumerate(properties):
        where = f"properties[{number}]"
        name = one["name"]
        if not NAME.fullmatch(name):
            raise FieldError(f"{where}.name: {name!r} has to be 1 to 128 letters, digits and -_.,:/@#")
        if name in names:
            raise FieldError(f"{where}.name: {name!r} is there twice")
        names.add(name)
        check_limits(one, where)


def check_limits(one, where):
    """Raises FieldError when minimum and maximum do not fit the type or each other."""
    limits = {}
    for key in ("minimum", "maximum"):
        if one.get(key) is None:
            continue
        if one["type"] not in NUMBERS:
            raise FieldError(f"{where}.{key}: {one['type']} has no {key}, only {', '.join(NUMBERS)} have")
        limits[key] = number_of(one[key], one["type"], f"{where}.{key}")
    if len(limits) == 2 and limits["minimum"] > limits["maximum"]:
        raise FieldError(f"{where}.minimum: {one['minimum']} is more than the maximum {one['maximum']}")


def number_of(text, kind, field):
    """The number that a text holds. Raises FieldError."""
    try:
        return int(text) if kind == "INT" else float(text)
    except ValueError:
        raise FieldError(f"{field}: {text!r} is no {kind}") from None


def device_spec(params):
    """A Device's `spec` of what the options name. Raises FieldError."""
    spec = {}
    if params["model"] is not None:
        spec["deviceModelRef"] = {"name": params["model"]}
    if params["node"] is not None:
        spec["nodeName"] = params["node"]
    for key in ("protocol", "stateReport"):
        if params[key] is not None:
            spec[key] = given(params[key])
    if params["properties"] is not None:
        spec["properties"] = [
            device_property(one, f"properties[{number}]") for number, one in enumerate(params["properties"])
        ]
    if params["methods"] is not None:
        spec["methods"] = [given(one) for one in params["methods"]]
    return spec


def device_property(options, where):
    """An entry of a Device's `spec.properties`. Raises FieldError."""
    made = given_parts(options, ("visitors",))
    if "desired" in made:
        made["desired"] = desired(made["desired"], f"{where}.desired")
    return made


def desired(value, field):
    """`{value: text}` out of a value, or of what a manifest says. Raises FieldError."""
    if not isinstance(value, dict):
        return {"value": text_of(value, field)}
    unknown = sorted(set(value) - {"value", "metadata"})
    if unknown or "value" not in value:
        raise FieldError(f"{field}: expected a value, or a dictionary with value and perhaps metadata")
    return dict(value, value=text_of(value["value"], f"{field}.value"))
