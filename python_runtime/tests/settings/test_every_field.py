"""Each field of the two files: there, with the original's default, and named when its type is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from edgelab.settings.cloudcore import CloudCore
from edgelab.settings.document import ConfigError, dump, parse
from edgelab.settings.edgecore import EdgeCore, hostname

VECTORS = Path(__file__).parent / "vectors"
KINDS: dict[str, type[CloudCore | EdgeCore]] = {"cloudcore": CloudCore, "edgecore": EdgeCore}


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Dotted paths of all values; thresholds count as one value."""
    if isinstance(value, dict) and value and path[-1:] != ("evictionHard",):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield path, value


def table(name: str) -> dict[str, Any]:
    text = (VECTORS / f"{name}-defaults.yaml").read_text().replace("HOSTNAME", hostname())
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value  # type: ignore[no-any-return]  # a path has at least one key


@pytest.mark.parametrize("name", KINDS)
def test_every_field_is_there_with_the_original_s_default_and_no_other_is(name: str) -> None:
    ours = msgspec.to_builtins(KINDS[name]())
    del ours["edgelab"]
    assert dict(leaves(ours)) == dict(leaves(table(name)))


@pytest.mark.parametrize("name", KINDS)
def test_a_value_of_the_wrong_type_names_its_field(name: str) -> None:
    unnamed = []
    for path, default in leaves(table(name)):
        wrong = 7 if isinstance(default, dict | list | str) else "seven"
        try:
            parse(dump(nested(path, wrong)), KINDS[name]())
        except ConfigError as error:
            found = error.problems[0].field
        else:
            found = "accepted"
        if found != ".".join(path):
            unnamed.append((path, found))
    assert unnamed == []


@pytest.mark.parametrize("name", KINDS)
def test_each_field_can_be_set_to_what_it_is_by_default(name: str) -> None:
    for path, default in leaves(table(name)):
        loaded = parse(dump(nested(path, default)), KINDS[name]())
        assert (loaded.unknown, loaded.outdated) == ([], []), path
        assert loaded.settings == KINDS[name](), path
