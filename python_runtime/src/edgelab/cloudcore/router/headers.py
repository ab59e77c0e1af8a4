"""Headers on their way between a REST client and a service at the edge (RFC 9110, section 7.6.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from multidict import CIMultiDict

CONNECTION = "connection"
HOP_BY_HOP = frozenset(
    {
        CONNECTION,
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""What concerns one connection only."""
NOT_PASSED_ON = HOP_BY_HOP | {"host", "expect", "content-length"}


def canonical(name: str) -> str:
    """A name as Go spells it: `Content-Type`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def to_service(
    headers: Iterable[tuple[str, str]], length: int, *, without: frozenset[str] = frozenset()
) -> dict[str, list[str]]:
    """What a service gets of a client's headers, in the form of Go's http.Header."""
    pairs = list(headers)
    dropped = NOT_PASSED_ON | without | _named_by_connection(pairs)
    found: dict[str, list[str]] = {"Content-Length": [str(length)]}
    for name, value in pairs:
        if name.lower() not in dropped:
            found.setdefault(canonical(name), []).append(value)
    return dict(sorted(found.items()))


def to_client(header: Mapping[str, Sequence[str]]) -> CIMultiDict[str]:
    """What a client gets of a service's headers; what is no header is left out."""
    pairs = [(name, value) for name, values in header.items() for value in values]
    dropped = HOP_BY_HOP | {"content-length"} | _named_by_connection(pairs)
    return CIMultiDict(
        (name, value)
        for name, value in pairs
        if name.lower() not in dropped and _is_sound(name) and not set(value) & set("\r\n\0")
    )


def _named_by_connection(pairs: Iterable[tuple[str, str]]) -> set[str]:
    values = (value for name, value in pairs if name.lower() == CONNECTION)
    return {token.strip().lower() for value in values for token in value.split(",")}


def _is_sound(name: str) -> bool:
    return name.isascii() and name.isprintable() and bool(name) and not set(name) & set(' "(),/:;<=>?@[\\]{}')
