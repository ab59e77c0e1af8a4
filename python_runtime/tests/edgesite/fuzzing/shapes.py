"""Values that fit a schema of the served OpenAPI documents, more or less."""

from __future__ import annotations

from typing import Any

from tests.edgesite.fuzzing.choices import Choices
from tests.edgesite.fuzzing.corpus import Corpus, odd

Obj = dict[str, Any]

DEEPEST = 7
NUMBERS = (0, 1, 2, 3, 80, 443, 600, 30000, 65536, -1, 2**31 - 1)
TEXTS = ("a", "b", "app", "a-b", "a.example.com", "100m", "1Gi", "/x", "x=y")
FORMATS = {
    "date-time": ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456Z", "yesterday"),
    "byte": ("aGVsbG8=", "", "a", "=="),
    "int-or-string": (1, "25%", "http", "-1%"),
}


class Shapes:
    """Draws values for schemas, whose references a document resolves."""

    def __init__(self, schemas: Obj, corpus: Corpus) -> None:
        self._schemas = schemas
        self._corpus = corpus

    def resolved(self, schema: Obj) -> Obj:
        """The schema behind references."""
        while True:
            if "$ref" in schema:
                schema = self._schemas[schema["$ref"].rpartition("/")[2]]
            elif len(schema.get("allOf", ())) == 1 and "properties" not in schema:
                schema = schema["allOf"][0]
            else:
                return schema

    def value(self, schema: Obj, choices: Choices, name: str = "", depth: int = 0) -> Any:
        """A value; rarely one that does not fit."""
        schema = self.resolved(schema)
        if choices.rarely(40):
            return odd(choices)
        if schema.get("enum"):
            return choices.pick(schema["enum"])
        kind = schema.get("type")
        if kind == "object" or "properties" in schema:
            return self._object(schema, choices, depth)
        if kind == "array":
            inner = schema.get("items") or {}
            count = choices.below(3) if depth < DEEPEST else 0
            return [self.value(inner, choices, name, depth + 1) for _ in range(count)]
        if name in self._corpus.values and choices.rarely(2):
            return self._corpus.value(choices, name)
        return self._scalar(schema, choices)

    def _object(self, schema: Obj, choices: Choices, depth: int) -> Obj:
        properties: Obj = schema.get("properties") or {}
        needed = [name for name in schema.get("required", ()) if name in properties]
        optional = [name for name in properties if name not in needed]
        if depth >= DEEPEST:
            optional = []
        chosen = [*needed, *choices.some(optional, 4)]
        found = {name: self.value(properties[name], choices, name, depth + 1) for name in chosen}
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict) and depth < DEEPEST:
            for key in choices.some(TEXTS, 2):
                found[key] = self.value(extra, choices, key, depth + 1)
        if choices.rarely(30):
            found[choices.pick(self._corpus.keys)] = odd(choices)
        return found

    @staticmethod
    def _scalar(schema: Obj, choices: Choices) -> Any:
        form = schema.get("format", "")
        if form in FORMATS:
            return choices.pick(FORMATS[form])
        kind = schema.get("type")
        if kind in ("integer", "number"):
            return choices.pick(NUMBERS)
        if kind == "boolean":
            return choices.rarely(2)
        if kind == "string":
            return choices.pick(TEXTS)
        return choices.pick((*NUMBERS, *TEXTS)) if schema else odd(choices)
