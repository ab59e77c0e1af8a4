"""The OpenAPI v2 form of schemas and operations (kube-openapi and apiextensions' `openapi/v2`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.schema import REFERENCE

Obj = dict[str, Any]

DEFINITIONS = "#/definitions/"
NOT_IN_V2 = ("allOf", "anyOf", "oneOf", "not", "nullable")
INT_OR_STRING = {"type": "string", "format": "int-or-string"}


def schema(raw: Obj, *, custom: bool = False) -> Obj:
    """A schema of v3 without what v2 cannot say; of a custom resource also without what kubectl cannot
    read in v2: items and properties beside unknown fields, lists without items.
    """
    reference = raw.get("$ref") or next(
        (inner["$ref"] for inner in raw.get("allOf") or () if "$ref" in inner), ""
    )
    result = {key: _inner(key, value, custom) for key, value in raw.items() if key not in NOT_IN_V2}
    if reference:
        result = {key: value for key, value in result.items() if key == "description" or key.startswith("x-")}
        return {**result, "$ref": reference.replace(REFERENCE, DEFINITIONS)}
    if "oneOf" in raw and "type" not in raw and not custom:
        result |= INT_OR_STRING if {"type": "integer"} in raw["oneOf"] else {"type": "string"}
    return _readable(raw, result) if custom else result


def _inner(key: str, value: Any, custom: bool) -> Any:
    if key == "properties":
        return {name: schema(inner, custom=custom) for name, inner in value.items()}
    if key in ("items", "additionalProperties") and isinstance(value, dict):
        return schema(value, custom=custom)
    return value


def _readable(raw: Obj, result: Obj) -> Obj:
    unknown = raw.get("x-kubernetes-preserve-unknown-fields")
    if raw.get("nullable") or unknown:
        result.pop("items", None)
        result.pop("properties", None)
    if (
        raw.get("nullable")
        or (unknown and raw.get("type") == "object")
        or (raw.get("type") == "array" and "items" not in result)
    ):
        result.pop("type", None)
    nullable = {name for name, inner in (raw.get("properties") or {}).items() if inner.get("nullable")}
    if nullable & set(result.get("required") or ()):
        result["required"] = [name for name in result["required"] if name not in nullable]
    if not result.get("required", True):
        del result["required"]
    return result


def path(item: Obj) -> Obj:
    """A path's operations."""
    parameters = [_parameter(entry) for entry in item.get("parameters", ())]
    verbs = {verb: _operation(inner) for verb, inner in item.items() if verb != "parameters"}
    return {**verbs, **({"parameters": parameters} if parameters else {})}


def _operation(operation: Obj) -> Obj:
    parameters = [_parameter(entry) for entry in operation.get("parameters", ())]
    result = {key: value for key, value in operation.items() if key not in ("requestBody", "responses")}
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        body = schema(next(iter(content.values()))["schema"])
        parameters.insert(0, {"name": "body", "in": "body", "required": True, "schema": body})
        result["consumes"] = list(content)
    responses = {}
    for code, response in operation["responses"].items():
        media = response.get("content", {})
        responses[code] = {"description": response["description"]}
        if media:
            responses[code]["schema"] = schema(next(iter(media.values()))["schema"])
            result["produces"] = list(media)
    if parameters:
        result["parameters"] = parameters
    return {**result, "responses": responses}


def _parameter(item: Obj) -> Obj:
    return {**{key: value for key, value in item.items() if key != "schema"}, **item["schema"]}
