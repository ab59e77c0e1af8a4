"""Requests: query parameters, headers and bodies, right and wrong."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import yaml
from tests.edgesite.fuzzing.choices import Choices
from tests.edgesite.fuzzing.operations import Operation
from tests.edgesite.fuzzing.wire import Request

Obj = dict[str, Any]

JSON = "application/json"
FLAGS = ("true", "false", "1", "0", "", "maybe")
QUERY: dict[str, tuple[str, ...]] = {
    "limit": ("1", "2", "0", "-1", "500", "x", "9223372036854775808", ""),
    "continue": ("", "x", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0", "e30", "\x00", "null"),
    "resourceVersion": ("", "0", "1", "99999999", "18446744073709551616", "-1", "x", " 1", "1.0"),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "", "exact", "x"),
    "fieldSelector": (
        "",
        "metadata.name=a",
        "metadata.namespace!=fuzz",
        "metadata.name==a,metadata.name=b",
        "spec.nodeName=",
        "status.phase!=Running",
        "nonsense=1",
        "metadata.name",
        "=,=",
        "a\\=b=c\\,d",
        ",",
        "metadata.name=a\\",
    ),
    "labelSelector": (
        "",
        "app",
        "!app",
        "app=a",
        "app in (a,b)",
        "app notin (a)",
        "a>1",
        "a<x",
        "a in ()",
        "a in (",
        "a=b=c",
        "-",
        "x" * 300,
        "a/b/c=d",
        "é=1",
        "app==a,!b, c notin (d)",
    ),
    "timeoutSeconds": ("0", "1", "-1", "x", "99999999999", "1.5"),
    "dryRun": ("All", "all", "", "None"),
    "fieldManager": ("fuzz", "other", "", "x" * 129, "a\x00b", "é", "a\tb"),
    "force": FLAGS,
    "fieldValidation": ("Strict", "Warn", "Ignore", "", "strict"),
    "pretty": FLAGS,
    "propagationPolicy": ("Foreground", "Background", "Orphan", "", "x"),
    "orphanDependents": FLAGS,
    "gracePeriodSeconds": ("0", "1", "-1", "x", "2147483648"),
    "watch": FLAGS,
    "allowWatchBookmarks": FLAGS,
    "sendInitialEvents": FLAGS,
    "includeObject": ("None", "Metadata", "Object", "x"),
}
ACCEPTS = (
    "*/*",
    JSON,
    "application/yaml",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf,application/json",
    "application/yaml;as=Table;v=v1;g=meta.k8s.io",
    "application/json;q=0.1,application/yaml;q=x",
    "text/plain",
    "",
    ";;,",
    "application/json;as=Table;v=v2;g=meta.k8s.io",
    "application/json;stream=watch",
    "application/cbor",
    "a/b;c",
)
CONTENT_TYPES = (
    JSON,
    "application/json; charset=utf-8",
    "application/json; charset=nonsense",
    "application/json;;",
    "application/yaml",
    "text/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/octet-stream",
    "application/cbor",
    "text/plain",
    "x",
    "",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/merge-patch+json",
)


def query(operation: Operation, choices: Choices, *, often: int = 3) -> dict[str, str]:
    """Some parameters; only rarely one that is not among the operation's."""
    found: dict[str, str] = {}
    for _ in range(choices.below(often)):
        names = operation.parameters if operation.parameters and not choices.rarely(8) else tuple(QUERY)
        name = choices.pick(names)
        if name in QUERY:
            found[name] = choices.pick(QUERY[name])
    if "watch" in found or "sendInitialEvents" in found:
        found["timeoutSeconds"] = "1"
    return found


def target(path: str, parameters: dict[str, str], *more: str) -> str:
    """A path with its query."""
    parts = [f"{name}={quote(value, safe='')}" for name, value in parameters.items()] + list(more)
    return quote(path, safe="/%:~") + ("?" + "&".join(parts) if parts else "")


def encoded(value: Any, choices: Choices) -> tuple[bytes, str]:
    """A value as bytes and their media type; rarely not what a server can read."""
    text = re.sub(r'"@deep:(list|object):(\d+)"', _deep, json.dumps(value))
    if choices.rarely(12):
        return _yaml(value, text), "application/yaml"
    if not choices.rarely(10):
        return text.encode(), JSON
    return choices.pick(DAMAGES)(text.encode(), choices)


def _cut(raw: bytes, choices: Choices) -> tuple[bytes, str]:
    return raw[: choices.below(len(raw) + 1)], JSON


def _spoilt(raw: bytes, choices: Choices) -> tuple[bytes, str]:
    where, wrong = choices.below(len(raw) + 1), choices.pick(NO_TEXT)
    return raw[:where] + wrong + raw[where:], JSON


def _binary(raw: bytes, choices: Choices) -> tuple[bytes, str]:
    return b"k8s\x00" + raw[: choices.below(200)], "application/vnd.kubernetes.protobuf"


def _single_quoted(raw: bytes, choices: Choices) -> tuple[bytes, str]:
    return raw.replace(b'"', b"'"), choices.pick((JSON, "application/yaml"))


NO_TEXT = (b"\xff", b"\x00", b"\xc3", b"\xed\xa0\x80", b"\\u12")
OTHERS = (b"", b"null", b"[]", b"1", b'"x"', b"{", b"\x00", b"[" * 20_000)
TWICE = b'{"kind":"Other","metadata":{"name":"twice"},'
DAMAGES: tuple[Callable[[bytes, Choices], tuple[bytes, str]], ...] = (
    _cut,
    _spoilt,
    _binary,
    _single_quoted,
    lambda raw, choices: (TWICE + raw[1:], JSON),
    lambda raw, choices: (raw + b" {}", JSON),
    lambda raw, choices: (b"\xef\xbb\xbf" + raw, JSON),
    lambda raw, choices: (choices.pick(OTHERS), JSON),
    lambda raw, choices: (raw, choices.pick(CONTENT_TYPES)),
)


def _deep(found: re.Match[str]) -> str:
    levels = int(found[2])
    return "[" * levels + "]" * levels if found[1] == "list" else '{"a":' * levels + "1" + "}" * levels


def _yaml(value: Any, text: str) -> bytes:
    try:
        return yaml.safe_dump(value, allow_unicode=True).encode()
    except (UnicodeEncodeError, yaml.YAMLError, RecursionError):
        return text.encode()


def request(method: str, where: str, choices: Choices, body: bytes | None = None, media: str = "") -> Request:
    """A request with headers of many kinds."""
    headers: list[tuple[str, str]] = []
    if choices.rarely(4):
        headers.append(("Accept", choices.pick(ACCEPTS)))
    if media:
        headers.append(("Content-Type", media))
    if choices.rarely(40):
        headers.append(("Accept-Encoding", choices.pick(("gzip", "identity", "br", "*;q=0"))))
    if body is not None and choices.rarely(25):
        body, more = _framed(body, choices)
        headers += more
    if choices.rarely(60):
        headers.append(("User-Agent", choices.pick(("x" * 300, "é/1", "a\tb/2", "/", ""))))
    return Request(method.upper(), where, tuple(headers), body)


def _framed(body: bytes, choices: Choices) -> tuple[bytes, list[tuple[str, str]]]:
    """The body compressed, or in chunks."""
    if choices.rarely(2):
        return gzip.compress(body), [("Content-Encoding", "gzip")]
    middle = len(body) // 2
    parts = [part for part in (body[:middle], body[middle:]) if part]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return chunks + b"0\r\n\r\n", [("Transfer-Encoding", "chunked")]
