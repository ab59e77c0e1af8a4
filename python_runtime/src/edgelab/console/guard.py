"""Who may see the page, and what browsers are told about it.

Without a password everybody who reaches the port; docs/how-to/console.md says what that means. In both cases
a browser must have asked for an address, or for a name of this host: a foreign site whose name was made to
point here (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from aiohttp import web

from edgelab.settings.checks import is_ip

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN = "/healthz"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
CHALLENGE = {"WWW-Authenticate": 'Basic realm="edgelab console", charset="UTF-8"'}


class Guard:
    """A middleware: `names` are hosts beside addresses and localhost, an empty password asks for none."""

    def __init__(self, names: Iterable[str], password: str = "") -> None:
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}
        self._password = password.encode()

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, or answer it: 421 for another host's name, 401 without the password."""
        if not self.knows(request.host):
            text = "This host is not known by that name: use its address, or add the name to console_names.\n"
            return web.Response(status=421, text=text, headers=HEADERS)
        if self._password and request.path != OPEN and not self.admits(request.headers.get("Authorization")):
            text = "The console's password is needed.\n"
            return web.Response(status=401, text=text, headers={**HEADERS, **CHALLENGE})
        return await handler(request)

    def knows(self, host: str) -> bool:
        """Whether `Host:` names an address, localhost or one of the names."""
        name = host.lower()
        if not name.endswith("]"):
            name = name.rpartition(":")[0] or name
        return name.rstrip(".") in self._names or is_ip(name.strip("[]"))

    def admits(self, authorization: str | None) -> bool:
        """Whether the header carries the password: as a bearer token, or HTTP Basic of any user."""
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(given.strip().encode(), self._password)
        if scheme.lower() != "basic":
            return False
        try:
            _, _, password = base64.b64decode(given.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(password, self._password)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler for every answer."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
