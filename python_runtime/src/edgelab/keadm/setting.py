"""`--set a.b=value`: settings on the command line, written as Helm and KubeEdge's keadm take them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from edgelab.keadm.report import Failure
from edgelab.settings.document import LOADER, merge

KEY = re.compile(r"[A-Za-z][\w-]*(\.[\w./-]+)*")


def parse(texts: list[str]) -> dict[str, Any]:
    """One document of all of them, later ones win. `a.b=1,a.c={x,y}`; `\\,` is a comma. Raises Failure."""
    document: dict[str, Any] = {}
    for text in texts:
        for part in split(text):
            key, equals, value = part.partition("=")
            key = key.strip()
            if not equals or not KEY.fullmatch(key):
                raise Failure(f"--set {part!r}: expected key.of.the.setting=value", field=key)
            document = merge(document, nested(key.split("."), read(value)))
    return document


def split(text: str) -> list[str]:
    """Parts between commas that are neither escaped nor in braces, brackets or quotes."""
    parts, depth, quoted, start = [], 0, "", 0
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif quoted:
            quoted = "" if char == quoted else quoted
        elif char in "\"'":
            quoted = char
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [part for part in [*parts, text[start:]] if part.strip()]


def read(text: str) -> Any:
    """The value: YAML, with Helm's braces for a list."""
    text = text.replace("\\,", ",")
    if text.startswith("{") and text.endswith("}") and ":" not in text:
        text = f"[{text[1:-1]}]"
    try:
        return yaml.load(text, Loader=LOADER) if text else ""  # noqa: S506 - LOADER is a safe loader
    except yaml.YAMLError as error:
        raise Failure(f"--set: {text!r} is no value: {getattr(error, 'problem', error)}") from None


def nested(keys: list[str], value: Any) -> dict[str, Any]:
    """A value below its keys."""
    document: Any = value
    for key in reversed(keys):
        document = {key: document}
    return dict(document)
