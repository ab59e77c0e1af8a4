"""YAML as sigs.k8s.io/yaml turns it into JSON: the first document, times as text, keys as text."""

from __future__ import annotations

import re
from typing import Any

import yaml

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
        loader = _Loader(raw.decode(errors="replace"))
        try:
            if not loader.check_node():
                return None, []
            return _Builder(loader, repeated).build(loader.get_node()), repeated
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise YamlError(_message(error)) from error
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
        raise YamlError("error converting YAML to JSON: unsupported map key")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag == "tag:yaml.org,2002:binary":
            return node.value
        if node.tag == "tag:yaml.org,2002:bool" and node.value in "yYnN":
            return node.value in "yY"
        try:
            value = self._loader.construct_object(node)
        except ValueError:
            return node.value
        return value if value is None or isinstance(value, bool | int | float | str) else node.value


def _message(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    found = 0 if mark is None else mark.line + isinstance(error, yaml.scanner.ScannerError)
    line = f"line {found}: " if found else ""  # go-yaml counts from zero where the parser stops
    return f"error converting YAML to JSON: yaml: {line}{getattr(error, 'problem', None) or error}"
