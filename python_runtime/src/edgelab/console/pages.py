"""The page's own files, read once: HTML, one style sheet, ES modules, the icon."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class File:
    """What is sent; by the tag a browser learns whether it changed (RFC 9110, 8.8.3)."""

    content: bytes
    content_type: str
    tag: str

    async def answer(self, request: web.Request) -> web.Response:
        """The file, or 304 for one who has it."""
        headers = {"ETag": f'"{self.tag}"', "Cache-Control": "no-cache"}
        if any(known.value == self.tag for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.content, headers={**headers, "Content-Type": self.content_type})


def files() -> dict[str, File]:
    """Every file by its path; the page itself is `/`."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in TYPES:
            content = path.read_bytes()
            tag = hashlib.sha256(content).hexdigest()[:16]
            where = "/" if path.name == "index.html" else f"/{path.name}"
            found[where] = File(content, TYPES[path.suffix], tag)
    return found
