"""YAML as sigs.k8s.io/yaml turns it into JSON: the first document, times as text, keys as text."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import yaml

from edgelab.edgesite.apiserver.custom import golang

MAX_VALUES = 400_000  # how much aliases may unfold to


class YamlError(ValueError):
    """Text that is no YAML."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Without timestamps, as the JSON of an API has none."""


_BOOLEAN = re.compile(r"^(?:y|Y|n|N)$")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


for _first in "yYnN":  # YAML 1.1's short booleans, which PyYAML leaves out
    _Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOLEAN, [_first])


def decode(raw: bytes) -> tuple[Any, list[str]]:
    """The first document, and what strict decoding says of keys that are repeated. Raises YamlError."""
    repeated: list[str] = []
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise YamlError("yaml: invalid leading UTF-8 octet") from error
    try:
        loader = _Loader(text)
        try:
            if not loader.check_node():
                return None, []
            return _Builder(loader, repeated).build(loader.get_node()), repeated
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise YamlError(_message(text, error)) from error
    except RecursionError as error:
        raise YamlError("yaml: exceeded max depth") from error


class _Builder:
    """Makes values of nodes; an alias that refers to much may not be used too often."""

    def __init__(self, loader: Any, repeated: list[str]) -> None:
        self._loader = loader
        self._repeated = repeated
        self._values = 0

    def build(self, node: Any) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise YamlError("yaml: document contains excessive aliasing")
        if isinstance(node, yaml.MappingNode):
            self._loader.flatten_mapping(node)
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item) for item in node.value]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = self._key(key)
            if name in found:
                text = f'line {key.start_mark.line + 1}: key "{name}" already set in map'
                if text not in self._repeated:
                    self._repeated.append(text)
            found[name] = self.build(value)
        return found

    def _key(self, node: Any) -> str:
        value = self._scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value)
        shown = golang.syntax(self.build(node))
        raise YamlError(f"yaml: invalid map key: {shown}")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag == "tag:yaml.org,2002:binary":
            return _binary(node.value)
        if not node.tag.startswith("tag:yaml.org,2002:"):
            return node.value
        if node.tag == "tag:yaml.org,2002:bool" and node.value in "yYnN":
            return node.value in "yY"
        try:
            value = self._loader.construct_object(node)
        except ValueError:
            return node.value
        return value if value is None or isinstance(value, bool | int | float | str) else node.value


def _binary(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()).encode(), validate=True).decode(errors="replace")
    except binascii.Error as error:
        raise YamlError("yaml: !!binary value contains invalid base64 data") from error


def _message(text: str, error: yaml.YAMLError) -> str:
    marks = [getattr(error, name, None) for name in ("context_mark", "problem_mark")]
    found = next((mark.line for mark in marks if mark is not None and mark.line), 0)
    found += bool(found) and isinstance(error, yaml.scanner.ScannerError)
    line = f"line {found}: " if found else ""  # go-yaml counts from zero where the parser stops
    problem = str(getattr(error, "problem", None) or error)
    if isinstance(error, yaml.reader.ReaderError):
        return "yaml: control characters are not allowed"
    if problem.startswith("found undefined alias"):
        at = marks[1].index if marks[1] is not None else 0
        alias = re.match(r"\*([\w-]+)", text[at:])
        return f"yaml: unknown anchor '{alias[1] if alias else ''}' referenced"
    return f"yaml: {line}{problem}"
