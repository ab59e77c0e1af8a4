"""Answers in YAML, as sigs.k8s.io/yaml writes them."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes as go-yaml does, and repeats what occurs twice instead of referring to it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    style = "|" if "\n" in value else None
    plain = dumper.resolve(yaml.ScalarNode, value, (True, False))
    if style is None and (plain != "tag:yaml.org,2002:str" or value in "yYnN"):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def encode(data: bytes) -> bytes:
    """JSON as YAML, with sorted keys."""
    value = msgspec.json.decode(data)
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=2**20)
    return text.encode()
