"""Links of a page that is shown through the proxy (`apimachinery/pkg/util/proxy/transport.go`)."""

from __future__ import annotations

import codecs
import posixpath
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from multidict import CIMultiDict

from edgelab.edgesite.apiserver.relay.pages import Page
from edgelab.edgesite.apiserver.relay.places import KEPT_IN_PATHS, Place

WINDOWS = {"gzip": 31, "deflate": -15}
"""zlib's names for the encodings that can be looked into."""


class Links:
    """Of one answer. `prefix` is our own path up to where the other server's path begins."""

    def __init__(self, prefix: str, place: Place) -> None:
        self._prefix = prefix
        self._source = place.authority

    def forwarded(self, place: Place) -> str:
        """The request's path as the client knows it."""
        path = quote(place.path, safe=KEPT_IN_PATHS)
        return _joined(self._prefix, path) + ("/" if place.path.endswith("/") else "")

    def rewritten(self, link: str, host: str) -> str:
        """A link to the same server, by way of us; others as they are. `host` is what the client asked."""
        try:
            parts = urlsplit(link)
        except ValueError:
            return link
        if parts.netloc not in ("", self._source, host) or not parts.path.startswith("/"):
            return link
        scheme, netloc = (parts.scheme, parts.netloc) if parts.netloc == host else ("", "")
        path = parts.path
        if not path.startswith(self._prefix):
            path = _joined(self._prefix, path) + ("/" if path.endswith("/") else "")
        return urlunsplit((scheme, netloc, path, parts.query, parts.fragment))


def _joined(prefix: str, path: str) -> str:
    return "/" + posixpath.normpath(f"{prefix}/{path}").lstrip("/")


def is_html(headers: CIMultiDict[str]) -> bool:
    """A page whose encoding we know."""
    media = headers.get("Content-Type", "").partition(";")[0].strip()
    encoding = headers.get("Content-Encoding", "")
    return media == "text/html" and (not encoding or encoding in WINDOWS)


async def page(chunks: AsyncIterator[bytes], encoding: str, links: Links, host: str) -> AsyncIterator[bytes]:
    """The page with its links rewritten, as it comes."""
    window = WINDOWS.get(encoding)
    opened: Any = zlib.decompressobj(window) if window else None
    closed: Any = zlib.compressobj(wbits=window) if window else None
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    document = Page(lambda link: links.rewritten(link, host))

    def packed(text: str) -> bytes:
        data = text.encode("utf-8", "surrogateescape")
        return closed.compress(data) if closed is not None else data

    async for chunk in chunks:
        data = opened.decompress(chunk) if opened is not None else chunk
        if out := packed(document.feed(decoder.decode(data))):
            yield out
    rest = packed(document.feed(decoder.decode(b"", final=True)) + document.end())
    rest += closed.flush() if closed is not None else b""
    if rest:
        yield rest
