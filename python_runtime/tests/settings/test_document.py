"""Configuration files: defaults underneath, errors that name the field, unknown keys reported."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgelab.settings.document import ConfigError, dump, load, merge, parse


class Socket(msgspec.Struct):
    port: int = 10000
    address: str = "0.0.0.0"


class Hub(msgspec.Struct, rename="camel"):
    enable: bool = True
    node_limit: int = 500
    websocket: Socket = msgspec.field(default_factory=Socket)
    quic: Socket | None = None
    names: list[str] = msgspec.field(default_factory=lambda: ["a", "b"])


def test_absent_keys_keep_their_defaults_and_present_ones_win() -> None:
    hub = parse("websocket: {port: 1}\nnodeLimit: 7\n", Hub()).settings
    assert (hub.node_limit, hub.websocket.port, hub.websocket.address) == (7, 1, "0.0.0.0")


def test_lists_replace_and_null_keeps_the_default() -> None:
    hub = parse("names: [c]\nwebsocket:\n", Hub()).settings
    assert hub.names == ["c"]
    assert hub.websocket.port == 10000


def test_unknown_keys_are_reported_with_their_path() -> None:
    loaded = parse("websocket: {prot: 1}\nquic: {x: 2}\nfoo: 1\n", Hub())
    assert [p.field for p in loaded.unknown] == ["websocket.prot", "quic.x", "foo"]


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("websocket: {port: many}", "websocket.port", "Expected `int`"),
        ("nodeLimit: '5'", "nodeLimit", "Expected `int`"),
        ("- 1", "", "expected a mapping, found list"),
        ("a: [1", "line 2", "expected ',' or ']'"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, field: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text + "\n", Hub())
    problem = caught.value.problems[0]
    assert problem.field.startswith(field)
    assert words in problem.message


def test_a_missing_file_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: No such file or directory"):
        load(tmp_path / "none.yaml", Hub())


def test_what_is_printed_can_be_read_again() -> None:
    assert parse(dump(Hub(node_limit=3)), Hub()).settings == Hub(node_limit=3)


def test_merging_leaves_both_sides_untouched() -> None:
    base, over = {"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}}
    merged = merge(base, over)
    assert merged == {"a": {"b": 1, "c": [2]}}
    merged["a"]["c"].append(3)
    assert (base, over) == ({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}})
